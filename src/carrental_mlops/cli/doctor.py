"""`crm doctor`: what is missing here."""

from __future__ import annotations

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Json, Repo

app = verb()


@app.command(epilog="Example: crm doctor")
def doctor(
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """What is missing on this machine and in this repo, and the command that mends it; exits 1 if something is."""
    from dataclasses import asdict

    from carrental_mlops.cli.terminal import colour, show_json
    from carrental_mlops.scaffold.doctor import examine

    findings = examine(repo)
    if as_json:
        show_json([asdict(finding) for finding in findings])
    for finding in [] if as_json else findings:
        mark = colour("✓", "green") if finding.ok else colour("✗", "red") if finding.needed else colour("-", "yellow")
        typer.echo(f"{mark} {finding.name}: {finding.found}")
        if finding.fix:
            typer.echo(f"    Fix: {finding.fix}")
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(1)
