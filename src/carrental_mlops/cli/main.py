"""`crm`: the group of all commands, and the one place that turns errors into exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from carrental_mlops.cli.lazy import LazyGroup
from carrental_mlops.errors import CrmError

_ROOM = "carrental_mlops.cli"


class Commands(LazyGroup):
    """All of `crm`."""

    summaries = {
        "new": "Start a model repo from a template.",
        "templates": "Templates that a model repo can start from.",
        "run": "Run a pipeline of the model repo.",
        "pipelines": "Pipelines of the model repo: list, draw.",
        "steps": "Default steps: list, show, override one.",
        "hooks": "Everything that a team may override.",
        "config": "crm.yaml: show, explain, set, validate, schema.",
        "runs": "Stored runs: list, compare, diff.",
        "debug": "One step of a stored run: its inputs in a shell or debugger.",
        "reproduce": "A registered model made again: equal, or what differs.",
        "report": "Reports of past trainings.",
        "doctor": "What is missing here, and the command that mends it.",
        "version": "Print the installed version.",
    }
    places = {
        "new": f"{_ROOM}.new:new",
        "templates": f"{_ROOM}.templates:app",
        "run": f"{_ROOM}.run:app",
        "pipelines": f"{_ROOM}.pipelines:app",
        "steps": f"{_ROOM}.steps:app",
        "hooks": f"{_ROOM}.hooks:app",
        "config": f"{_ROOM}.config:app",
        "runs": f"{_ROOM}.runs:app",
        "debug": f"{_ROOM}.debug:app",
        "reproduce": f"{_ROOM}.reproduce:app",
        "report": f"{_ROOM}.report:app",
        "doctor": f"{_ROOM}.doctor:app",
        "version": f"{_ROOM}.version:app",
    }


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: crm new --template fraud-realtime",
)


@app.callback()
def crm() -> None:
    """From an idea to a model in production: templates, default steps, pipelines."""


def main(args: Sequence[str] | None = None) -> int:
    """Run `crm` and return its exit code: 0 well, 1 yours to mend, 2 usage, 3 platform, 4 the gate's no, 130 Ctrl-C."""
    try:
        typer.main.get_command(app)(args=args, prog_name="crm")
    except CrmError as error:
        typer.echo("\n".join([f"{_red('error')}: {error}", *getattr(error, "__notes__", ())]), err=True)
        return error.exit_code
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        return 130
    return 0


def _red(word: str) -> str:
    return word if os.environ.get("NO_COLOR") or not sys.stderr.isatty() else f"\x1b[31m{word}\x1b[0m"
