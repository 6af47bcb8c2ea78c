"""A template's question put to a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from carrental_mlops.scaffold.catalogue import Question


def pairs(sets: list[str] | None) -> dict[str, str]:
    """Answers given as `--set key=value`."""
    unset = [pair for pair in sets or [] if "=" not in pair]
    if unset:
        raise typer.BadParameter(f"`{unset[0]}` has no value, such as tier=1", param_hint="--set")
    return dict(pair.partition("=")[::2] for pair in sets or [])


def ask(question: Question, before: Mapping[str, str]) -> str:
    """An answer, asked until the question allows it; `before` are the answers that its default may use."""
    from carrental_mlops.errors import TemplateError
    from carrental_mlops.scaffold.answers import checked, default_of

    choices = f" ({', '.join(question.choices)})" if question.choices else ""
    while True:
        answer = typer.prompt(question.prompt + choices, default=default_of(question, before))
        try:
            return checked(question, answer.strip())
        except TemplateError as error:
            typer.echo(error.what, err=True)
