"""`crm new`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carrental_mlops.cli.options import Json, Trust

if TYPE_CHECKING:
    from carrental_mlops.scaffold.catalogue import Question
    from carrental_mlops.scaffold.render import NewRepo


def new(
    template: Annotated[str, typer.Option(help="Which template; `crm templates list` names them.")] = "fraud-realtime",
    name: Annotated[str | None, typer.Option(help="Service name, kebab-case.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Answer to a question, as key=value.")] = None,
    parent: Annotated[Path, typer.Option("--dir", help="Existing folder to make the repo in.")] = Path(),
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing: defaults for what is not given.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")] = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Start a model repo from a template, with a first commit.

    Example: crm new --template fraud-realtime --name fraud-payments --set owner=risk-ds@example.com
    """
    from carrental_mlops.cli.questions import pairs
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.scaffold.catalogue import find
    from carrental_mlops.scaffold.render import new_repo

    answers = pairs(sets) | ({"name": name} if name else {})
    if sys.stdin.isatty() and not (no_input or as_json):
        answers = _asked(find(template, trust=trust).questions, answers)
    made = new_repo(template, answers, parent, dry_run=dry_run, trust=trust)
    if as_json:
        show_json(made.to_json())
    else:
        typer.echo(_told(made))


def _asked(questions: tuple[Question, ...], given: dict[str, str]) -> dict[str, str]:
    """Answers to all questions: given ones kept, the others asked until they are allowed."""
    from carrental_mlops.cli.questions import ask
    from carrental_mlops.scaffold.answers import checked

    answers: dict[str, str] = {}
    for question in questions:
        known = question.name in given
        answers[question.name] = checked(question, given[question.name]) if known else ask(question, answers)
    return given | answers


def _told(made: NewRepo) -> str:
    if made.commit is None:
        return "\n".join([f"would write {len(made.files)} files into {made.path}:", *(f"  {f}" for f in made.files)])
    return (
        f"{made.path}: {len(made.files)} files from {made.template} {made.version}, first commit {made.commit[:7]}\n"
        f"Next: cd {made.path} && make setup && make train"
    )
