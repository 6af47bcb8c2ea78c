"""`crm client`: a typed client of a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Env, Repo

app = noun("A typed client of a service, from its OpenAPI document.")

Source = Annotated[
    str | None,
    typer.Option("--openapi", metavar="URL|FILE", help="Default: the running service of this repo's crm.yaml."),
]
Out = Annotated[Path, typer.Option("--out", help="Folder for the file.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the source and write nothing.")]


@app.command(epilog="Example: crm client python --openapi http://127.0.0.1:8080/openapi.json --out clients")
def python(
    openapi: Source = None, out: Out = Path(), dry_run: DryRun = False, env: Env = None, repo: Repo = None
) -> None:
    """One Python file without dependencies: typed rows, deadline, retries, fallback."""
    _made("python", openapi, out, dry_run, env, repo)


@app.command(epilog="Example: crm client typescript --openapi openapi.json --out web/src")
def typescript(
    openapi: Source = None, out: Out = Path(), dry_run: DryRun = False, env: Env = None, repo: Repo = None
) -> None:
    """One TypeScript file over fetch: typed rows, deadline, retries, fallback."""
    _made("typescript", openapi, out, dry_run, env, repo)


def _made(language: str, source: str | None, out: Path, dry_run: bool, env: str | None, repo: Path | None) -> None:
    from carrental_mlops.files import whole_file
    from carrental_mlops.serving.clients import generate, read_document

    if source is None:
        from carrental_mlops.core.repo import open_repo

        serving = open_repo(repo, env).config.serving
        source = f"http://{serving.host}:{serving.port}/openapi.json"
    made = generate(read_document(source), language)
    if dry_run:
        typer.echo(made.text, nl=False)
        typer.echo(f"would write {out / made.name}", err=True)
        return
    with whole_file(out / made.name) as part:
        part.write_text(made.text, encoding="utf-8")
    typer.echo(f"wrote {out / made.name}")
