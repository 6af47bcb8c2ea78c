"""`crm version`."""

from __future__ import annotations

import typer

from carrental_mlops.cli.lazy import verb

app = verb()


@app.command(epilog="Example: crm version")
def version() -> None:
    """Print the installed version."""
    from carrental_mlops import __version__

    typer.echo(__version__)
