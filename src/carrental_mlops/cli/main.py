"""`crm`: the group of all commands, and the one place that turns errors into exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from carrental_mlops.cli.lazy import LazyGroup
from carrental_mlops.cli.terminal import colour
from carrental_mlops.errors import CrmError, ExitCode

_NOUNS = {
    "new": ("new", "Start a model repo from a template."),
    "templates": ("app", "Templates that a model repo can start from."),
    "run": ("app", "Run a pipeline of the model repo."),
    "pipelines": ("app", "Pipelines of the model repo: list, draw."),
    "steps": ("app", "Default steps: list, show, override one."),
    "hooks": ("app", "Everything that a team may override."),
    "config": ("app", "crm.yaml: show, explain, set, validate, schema."),
    "upgrade": ("app", "A newer version into this repo, without losing a line."),
    "check": ("app", "Every rule asked of the repo; what blocks it, and its score."),
    "fleet": ("app", "Every model repo at once: standing, upgrades, checks."),
    "runs": ("app", "Stored runs: list, compare, diff."),
    "debug": ("app", "One step of a stored run: its inputs in a shell or debugger."),
    "reproduce": ("app", "A registered model made again: equal, or what differs."),
    "serve": ("app", "Answer requests with the champion."),
    "loadtest": ("app", "Load a running service and judge it by its SLO."),
    "k6": ("app", "The load generator: build one with extensions."),
    "image": ("app", "Images of releases: build, scan."),
    "render": ("app", "What a deployment would apply: Kubernetes objects."),
    "diff": ("app", "What a deployment would change, in words."),
    "deploy": ("app", "Release a model into the cluster."),
    "approve": ("app", "Say yes to a model, before it is promoted."),
    "promote": ("app", "A release to the next environment: scored, canary by canary, back by itself."),
    "switch": ("app", "The kill switch: rules, the model before or one decision answer."),
    "rollback": ("app", "Back to an earlier release, model and configuration together."),
    "status": ("app", "What runs, and whether it is available."),
    "logs": ("app", "What the pods say."),
    "diagnose": ("app", "What changed since it was well, suspects in order, the next command."),
    "trace": ("app", "One request: what was answered, and where its time went."),
    "release": ("app", "Releases: list, show, diff."),
    "client": ("app", "A typed client of a service: Python, TypeScript."),
    "audit": ("app", "What was answered: show, get, ship, prune, key."),
    "replay": ("app", "Past decisions made again by another model version."),
    "report": ("app", "Reports of past trainings."),
    "propose": ("app", "The best parameters of a tuning run, as one merge request."),
    "kpi": ("app", "From idea to production in numbers: show, report, idea, roadmap, metrics."),
    "watch": ("app", "What an on-call engineer gets: alerts, rules, runbook, dashboard."),
    "infra": ("app", "What a service needs on AWS: plan, apply, destroy, cost, subjects."),
    "release-notes": ("app", "What a release means for teams, and whom it touches."),
    "doctor": ("app", "What is missing here, and the command that mends it."),
    "version": ("app", "Print the installed version."),
}
"""Command to what its file of the same name calls it, and its line in `crm --help`."""


class Commands(LazyGroup):
    """All of `crm`."""

    summaries = {name: summary for name, (_, summary) in _NOUNS.items()}
    places = {
        name: f"carrental_mlops.cli.{name.replace('-', '_')}:{attribute}" for name, (attribute, _) in _NOUNS.items()
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
    """Run `crm` and return its exit code: one of `ExitCode`, or 130 after Ctrl-C."""
    try:
        typer.main.get_command(app)(args=args, prog_name="crm")
    except CrmError as error:
        said = f"{colour('error', 'red', sys.stderr)}: {error}"
        typer.echo("\n".join([said, *getattr(error, "__notes__", ())]), err=True)
        return error.exit_code
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        return ExitCode.STOPPED
    return ExitCode.WELL
