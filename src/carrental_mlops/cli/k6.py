"""`crm k6`: k6 with extensions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carrental_mlops.cli.lazy import noun

app = noun("The load generator: build one with extensions.")


@app.callback()
def k6() -> None:
    """The load generator: build one with extensions."""


@app.command(epilog="Example: crm k6 build --with github.com/grafana/xk6-sql@v1.0.5 --out .crm/k6")
def build(
    extensions: Annotated[list[str], typer.Option("--with", metavar="EXT@VERSION", help="Repeatable.")],
    out: Annotated[Path, typer.Option(help="Where the binary goes.")] = Path("k6"),
    k6_version: Annotated[
        str | None, typer.Option("--k6", help="Version of k6; default: the one this package was tested with.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print main.go and go.mod, build nothing.")] = False,
) -> None:
    """Build a k6 with extensions; needs Go, and takes minutes. `CRM_K6` then says where it is."""
    from carrental_mlops.loadtest import k6_build

    made = k6_build.sources([k6_build.extension_of(e) for e in extensions], k6_version or k6_build.K6_VERSION)
    if dry_run:
        typer.echo(f"// main.go\n{made.main_go}\n// go.mod\n{made.go_mod}", nl=False)
        return
    typer.echo(k6_build.build(made, out.resolve()))
    typer.echo(f"export CRM_K6={out.resolve()}")
