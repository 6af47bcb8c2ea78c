"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Repo = Annotated[Path | None, typer.Option("--repo", help="The model repo; default: the one around this folder.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Repeatable.")]
Env = Annotated[str | None, typer.Option("--env", help="An environment of crm.yaml; default: the first.")]
StoreOf = Annotated[str | None, typer.Option("--env", help="Whose store; default: the first environment's.")]
