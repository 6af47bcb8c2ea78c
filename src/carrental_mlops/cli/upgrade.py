"""`crm upgrade`."""

from __future__ import annotations

import sys
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from carrental_mlops.cli.options import Json, Repo, Sets, Trust, day

if TYPE_CHECKING:
    from pathlib import Path

    from carrental_mlops.scaffold.versions import Material
    from carrental_mlops.upgrade.command import Upgraded
    from carrental_mlops.upgrade.override_report import OverrideReport

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, invoke_without_command=True
)


@app.callback(epilog="Example: crm upgrade --check && crm upgrade")
def upgrade(
    ctx: typer.Context,
    to: Annotated[str | None, typer.Option(help="Version to go to; default: the installed one.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Look at overridden hooks alone; 1 where one breaks.")] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Rewrite overrides for the newer version where it is safe.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change; write nothing.")] = False,
    stash: Annotated[bool, typer.Option("--stash", help="Put uncommitted work away, and back at the end.")] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also where an override would break.")] = False,
    go_on: Annotated[bool, typer.Option("--continue", help="After conflicts are resolved, or after a kill.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Back to how it was.")] = False,
    run: Annotated[
        bool | None,
        typer.Option("--run/--no-run", help="Run the repo under the newer version; default: where a default changed."),
    ] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Without crm check of the result.")] = False,
    sets: Sets = None,
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing: defaults for new questions.")] = False,
    trust: Trust = False,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """Bring a newer version of templates and package into this repo; what the team edited stays.

    Exit code 1: conflicts are to be resolved, or an override would break.
    """
    if ctx.invoked_subcommand:
        return
    from carrental_mlops.cli.questions import ask, pairs
    from carrental_mlops.upgrade import command

    if sum((check, fix, go_on, abort)) > 1:
        raise typer.BadParameter("one of --check, --fix, --continue, --abort")
    root = command.find_root(repo)
    if abort:
        _abort(root)
        return
    if go_on:
        _show(command.go_on(root, check=not no_check), as_json)
        return
    old, new = command.versions(root, to)
    moving = command.moves(root, old, new, trust)
    if not sets and not moving:
        typer.echo(f"already on {new.version}", err=as_json)
    elif check:
        _look(root, old, new, run, as_json)
    elif fix:
        _fix(root, old, new, dry_run)
    else:
        typer.echo(f"{', '.join(moving) or new.version} …", err=True)
        done = command.upgrade(
            root, old, new, pairs(sets), ask=ask if sys.stdin.isatty() and not (no_input or as_json) else None,
            stash=stash, anyway=anyway, dry_run=dry_run, check=not no_check, run=run, trust=trust,
        )  # fmt: skip
        _show(done, as_json, dry_run)


@app.command(epilog='Example: crm upgrade waive Makefile --reason "our runner has no uv" --until 2027-03-31')
def waive(
    path: Annotated[str, typer.Argument(help="Of the ledger's entry.")],
    reason: Annotated[str, typer.Option(help="Why the repo keeps its own text, 10 letters at least.")],
    until: Annotated[
        date,
        typer.Option(parser=day, metavar="DATE", help="The last day, 180 ahead at most; then it comes back."),
    ],
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """Leave a declined change of the template alone until a day."""
    import os

    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.deploy.releases.identity import person
    from carrental_mlops.governance.ledger import LEDGER, read_ledger, write_ledger
    from carrental_mlops.governance.ledger import waive as waived
    from carrental_mlops.upgrade.command import find_root

    root = find_root(repo)
    entries = waived(read_ledger(root), path, reason, person(root, os.environ), until)
    write_ledger(root, entries)
    if as_json:
        show_json([{"path": e.path, "by": e.by, "reason": e.reason, "until": e.until} for e in entries])
    else:
        typer.echo(f"{path} is left alone until {until}; commit {LEDGER}")


def _abort(root: Path) -> None:
    from carrental_mlops.upgrade.phases import abort

    for line in abort(root):
        typer.echo(line, err=True)
    typer.echo("as it was before the upgrade")


def _show(done: Upgraded, as_json: bool, dry_run: bool = False) -> None:
    from carrental_mlops.cli.terminal import show_json

    if as_json:
        show_json(done.to_json())
    else:
        typer.echo(done.markdown)
    outcome = done.outcome
    if outcome.commit:
        typer.echo(f"commit {outcome.commit[:12]}; next: make setup, which installs {outcome.version_to}", err=True)
    elif outcome.conflicts and not dry_run:
        typer.echo("resolve the conflicts, git add them, then crm upgrade --continue; or crm upgrade --abort", err=True)
        raise typer.Exit(1)


def _look(root: Path, old: Material, new: Material, run: bool | None, as_json: bool) -> None:
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.upgrade.command import overrides

    if run is not False:
        typer.echo(f"overrides against {new.version}; where a default changed, the repo is run under it …", err=True)
    found = overrides(root, old, new, run)
    if as_json:
        show_json(found.to_json())
    else:
        _show_overrides(found)
    if found.blocking:
        raise typer.Exit(1)


def _show_overrides(found: OverrideReport) -> None:
    for finding in found.findings:
        if finding.verdict == "fine":
            continue
        typer.echo(f"{finding.place}: {finding.verdict}: {finding.hook or finding.cls}")
        if finding.old_signature != finding.new_signature:
            typer.echo(f"  was {finding.old_signature}\n  is  {finding.new_signature or 'gone'}")
        for line in (*finding.details, *finding.changelog, finding.otherwise):
            typer.echo(f"  {line}" if line else "", nl=bool(line))
        if finding.mend:
            typer.echo(f"  Fix: {finding.mend}")
    for line in found.dynamic.markdown_lines() if found.dynamic else ():
        typer.echo(line.removeprefix("### "))
    fine = sum(finding.verdict == "fine" for finding in found.findings)
    typer.echo(f"{found.old} to {found.new}: {len(found.blocking)} of {len(found.findings)} block, {fine} unchanged")


def _fix(root: Path, old: Material, new: Material, dry_run: bool) -> None:
    from carrental_mlops.upgrade.codemod import plan

    made = plan(root, old, new)
    if dry_run:
        typer.echo(made.diff(), nl=False)
    else:
        for path in made.write():
            typer.echo(f"rewrote {path}")
    for item in made.by_hand:
        typer.echo(f"by hand: {item.place}: {item.what}", err=True)
    if made.files and not dry_run:
        typer.echo("look at git diff and commit it, then crm upgrade", err=True)
