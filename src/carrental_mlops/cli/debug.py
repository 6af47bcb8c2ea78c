"""`crm debug`: one step of a stored run, with the inputs that it had."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Repo, StoreOf

if TYPE_CHECKING:
    from carrental_mlops.orchestration.debug import Held, StoredStep

app = verb()


@app.command(epilog="Example: crm debug latest train --pdb")
def debug(
    run: Annotated[str, typer.Argument(help="An id of `crm runs list`, or its last 6 characters; or: latest.")],
    step: Annotated[str, typer.Argument(help="As `crm pipelines show` prints it.")],
    shell: Annotated[bool, typer.Option("--shell", help="A Python shell; the default on a terminal.")] = False,
    pdb: Annotated[bool, typer.Option("--pdb", help="Run the step under the debugger.")] = False,
    execute: Annotated[bool, typer.Option("--run", help="Run the step and print what it returns.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Describe the inputs as JSON on stdout.")] = False,
    env: StoreOf = None,
    repo: Repo = None,
) -> None:
    """Load what STEP was given in RUN and look at it, or run the step again here; nothing outside is changed."""
    if shell + pdb + execute > 1 or (as_json and (shell or pdb)):
        raise typer.BadParameter("choose one of --shell, --pdb, --run; --json goes with --run alone")
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.orchestration.debug import stored_step

    stored = stored_step(open_repo(repo, env), run, step)
    if pdb:
        _under_pdb(stored)
    elif execute:
        _execute(stored, as_json)
    elif shell or (not as_json and sys.stdin.isatty() and sys.stdout.isatty()):
        _shell(stored)
    else:
        _show(stored, stored.held, as_json)


def _show(stored: StoredStep, held: Sequence[Held], as_json: bool, metrics: dict[str, float] | None = None) -> None:
    from dataclasses import asdict

    from carrental_mlops.cli.terminal import show_json, show_table
    from carrental_mlops.orchestration.debug import source_of

    cls, context = type(stored.step), stored.context
    told: dict[str, Any] = {
        "run_id": context.run_id,
        "step": context.step,
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "source": source_of(stored.step),
        "seed": context.seed,
        "config": stored.step.config.model_dump(mode="json"),
        "inputs": [asdict(h) for h in stored.held],
    }
    if metrics is not None:
        told |= {"outputs": [asdict(h) for h in held], "metrics": metrics}
    if as_json:
        show_json(told)
        return
    typer.echo(f"{told['step']} of {told['run_id']}: {told['class']} ({told['source']}), seed {told['seed']}")
    title = "input" if metrics is None else "output"
    show_table((title, "type", "shape", "sha256"), [(h.name, h.type, h.shape or "-", h.digest[:12]) for h in held])
    for name, value in (metrics or {}).items():
        typer.echo(f"{name} = {value:.6g}")


def _execute(stored: StoredStep, as_json: bool) -> None:
    _, outputs = stored.run()
    _show(stored, outputs, as_json, dict(stored.context.metrics))


def _under_pdb(stored: StoredStep) -> None:
    import bdb
    import pdb
    import signal

    stored.context.seed_everything()
    interrupt = signal.getsignal(signal.SIGINT)  # pdb's `continue` takes it and never gives it back
    try:
        pdb.Pdb().runcall(stored.step.run, **stored.inputs)  # type: ignore[attr-defined]
    except bdb.BdbQuit:
        typer.echo("left the debugger", err=True)
    except Exception as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        pdb.post_mortem(error.__traceback__)
        raise typer.Exit(1) from error
    finally:
        signal.signal(signal.SIGINT, interrupt)


def _shell(stored: StoredStep) -> None:
    names = {"step": stored.step, "inputs": stored.inputs, "context": stored.context}
    banner = f"{stored.context.step} of {stored.context.run_id}: step, inputs, context; step.run(**inputs) runs it"
    if sys.stdin.isatty() and find_spec("IPython"):
        embed: Any = import_module("IPython.terminal.embed")
        embed.InteractiveShellEmbed(banner1=banner, user_ns=names)()
        return
    import code

    code.interact(banner=banner, local=names, exitmsg="")
