"""`crm check`: every rule asked of a model repo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Json, Repo
from carrental_mlops.errors import ExitCode

if TYPE_CHECKING:
    from carrental_mlops.governance.check import CheckResult

app = verb()


@app.command(epilog="Example: crm check --fix")
def check(
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="These alone, by how they begin, such as CRM2; repeatable."),
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is safe to mend by machine, then look again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --fix: say what would be mended.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Ask every rule, whatever earlier checks kept.")] = False,
    sarif: Annotated[Path | None, typer.Option(help="Write SARIF 2.1.0 here.")] = None,
    code_quality: Annotated[Path | None, typer.Option(help="Write GitLab's code quality report here.")] = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """Hold the repo to every rule; exits 1 where a finding blocks a service of its tier.

    Each code has a page in docs/reference/findings/; config/waivers.yaml says who answers for what stands.
    """
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.config.repo import find_repo
    from carrental_mlops.errors import ConfigError
    from carrental_mlops.governance.check import check as look
    from carrental_mlops.governance.check import mend
    from carrental_mlops.governance.mending import shown

    if dry_run and not fix:
        raise ConfigError(
            "--dry-run says what --fix would mend", "crm check --fix --dry-run; crm check alone mends nothing"
        )
    root = find_repo(repo)
    chosen = _known(only or [])
    result = look(root, only=chosen, keep=not again, tell=lambda rule: typer.echo(f"  {rule} …", err=True))
    if fix:
        for finding, change in mend(root, result, dry_run=dry_run):
            typer.echo(f"{'would mend' if dry_run else 'mended'} {finding.code} {change.path}", err=True)
            typer.echo(shown(change), err=True)
        result = result if dry_run else look(root, only=chosen)
    _write(result, sarif, code_quality)
    show_json(result.to_json()) if as_json else _show(result)
    if result.blocked:
        raise typer.Exit(ExitCode.YOURS)


def _known(only: list[str]) -> list[str]:
    from carrental_mlops.errors import ConfigError
    from carrental_mlops.governance.rules import CODES

    for given in only:
        if not any(code.number.startswith(given) for code in CODES):
            raise ConfigError(f"no code begins with {given}", "name one such as CRM2 or CRM601; see crm check --help")
    return only


def _write(result: CheckResult, sarif: Path | None, code_quality: Path | None) -> None:
    import json

    from carrental_mlops.files import whole_file
    from carrental_mlops.governance.sarif import as_code_quality, as_sarif

    reports: tuple[tuple[Path | None, Any], ...] = (
        (sarif, as_sarif(result) if sarif else None),
        (code_quality, as_code_quality(result) if code_quality else None),
    )
    for path, told in reports:
        if path:
            with whole_file(path) as draft:
                draft.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _show(result: CheckResult) -> None:
    from carrental_mlops.cli.terminal import colour
    from carrental_mlops.governance.tiers import blocks

    paint = {"error": "red", "warning": "yellow", "note": "dim"}
    for finding in result.findings:
        place = f"{finding.path}:{finding.line}: " if finding.line else f"{finding.path}: " if finding.path else ""
        mark = "blocks" if blocks(finding, result.tier) else str(finding.severity)
        typer.echo(f"{colour(f'{finding.code} {mark}', paint[finding.severity])}  {place}{finding.what}")
        typer.echo(
            f"    Fix: {finding.mend}{' (crm check --fix)' if finding.fix and '--fix' not in finding.mend else ''}"
        )
    for finding, waiver in result.waived:
        typer.echo(colour(f"{finding.code} waived by {waiver.person} until {waiver.until}: {finding.what}", "dim"))
    if result.whole:
        most = [f"{code} +{points:g}" for code, points in result.raises[:3] if points > 0]
        raised = f"; most would come from {', '.join(most)}" if most else ""
        typer.echo(f"score {result.score} of 100{raised}")
    count = len(result.blocking)
    typer.echo(f"{count} of {len(result.findings)} findings block a tier {result.tier} service" if count
               else f"nothing blocks a tier {result.tier} service")  # fmt: skip
