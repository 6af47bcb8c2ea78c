"""`crm report`: open the latest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Repo

app = noun("Reports of past trainings.")


@app.callback()
def report() -> None:
    """Reports of past trainings."""


@app.command("open", epilog="Example: crm report open --print")
def open_report(
    only_print: Annotated[bool, typer.Option("--print", help="Print the path, open nothing.")] = False,
    repo: Repo = None,
) -> None:
    """Open the latest training report in the browser and print its path."""
    import webbrowser

    from carrental_mlops.config.repo import find_repo
    from carrental_mlops.errors import DataError

    root = find_repo(repo)
    found = sorted((root / ".crm" / "reports").rglob("*.html"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise DataError(f"no report in {root / '.crm' / 'reports'}", "crm run training")
    typer.echo(str(found[-1]))
    if not only_print:
        webbrowser.open(found[-1].as_uri())


@app.command(epilog="Example: crm report comment --run run.json --diff diff-staging.md --diff diff-prod.md")
def comment(
    run: Annotated[Path | None, typer.Option(help="What `crm run training --record` wrote.")] = None,
    diff: Annotated[list[Path] | None, typer.Option(help="Markdown of `crm diff`; repeatable.")] = None,
) -> None:
    """Markdown for a merge request: gate, figures and curves against the champion, what the cluster would get."""
    from carrental_mlops.deploy.ci.comment import comment as comment_of
    from carrental_mlops.deploy.ci.run_record import RunRecord

    record = RunRecord.read(run) if run and run.is_file() else None
    there = [path for path in diff or () if path.is_file()]
    typer.echo(comment_of(record, {path.stem: path.read_text(encoding="utf-8") for path in there}), nl=False)


@app.command(epilog="Example: crm report gate run.json")
def gate(run: Annotated[Path, typer.Argument(help="What `crm run training --record` wrote.")]) -> None:
    """Exit 4 where the gate refused the recorded run."""
    from carrental_mlops.deploy.ci.run_record import RunRecord
    from carrental_mlops.errors import GateRefused

    record = RunRecord.read(run)
    for check in record.checks:
        typer.echo(check)
    if record.refused:
        raise GateRefused(record.refused, "mend the model or the rules in steps.gate; the job `sample` has the log")
