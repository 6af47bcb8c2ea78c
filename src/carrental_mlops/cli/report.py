"""`crm report`: open the latest."""

from __future__ import annotations

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
