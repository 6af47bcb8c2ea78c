"""Answers to a template's questions: defaults filled in, each one held to what its question allows."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping, Sequence

from carrental_mlops.errors import TemplateError, nearest
from carrental_mlops.scaffold.catalogue import Question

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PACKAGE = re.compile(r"[a-z][a-z0-9_]*")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_TEXT = re.compile(r"[\w .,:@/()+-]{1,200}")
_TAKEN = {"carrental_mlops", "feast", "lightgbm", "mlflow", "numpy", "pandas", "pytest", "src", "tests", "zenml"}
MAX_NAME = 40
"""Longest service name: Kubernetes allows 63 and the chart appends to it."""


def complete(questions: Sequence[Question], given: Mapping[str, str]) -> dict[str, str]:
    """Every question's answer: the given one, else the default.

    Raises:
        TemplateError: an answer to no question, or one that its question does not allow.
    """
    asked = [q.name for q in questions]
    for name in given:
        if name not in asked:
            raise TemplateError(f"this template has no question `{name}`", nearest(name, asked))
    answers: dict[str, str] = {}
    for question in questions:
        answers[question.name] = checked(question, given.get(question.name, default_of(question, answers)))
    return answers


def default_of(question: Question, before: Mapping[str, str]) -> str:
    """The default, which may be made from the answers before it."""
    if "{" not in question.default:
        return question.default
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment().from_string(question.default).render(cookiecutter=before)


def checked(question: Question, answer: str) -> str:
    """The answer, if its question allows it.

    Raises:
        TemplateError: it does not; says what would be allowed.
    """
    wrong = _complaint(question, answer)
    if wrong:
        raise TemplateError(
            f"answer `{question.name}` is {answer!r}: {wrong}", f"crm new --set {question.name}={_example(question)}"
        )
    return answer


def _complaint(question: Question, answer: str) -> str | None:
    if question.choices:
        return None if answer in question.choices else f"must be one of {', '.join(question.choices)}"
    if question.name == "name":
        fits = _NAME.fullmatch(answer) and len(answer) <= MAX_NAME
        return None if fits else f"must be kebab-case (a-z, 0-9, -), at most {MAX_NAME} characters"
    if question.name == "package":
        return _package_complaint(answer)
    if question.name == "owner":
        return None if _EMAIL.fullmatch(answer) else "must be an e-mail address"
    return None if _TEXT.fullmatch(answer) else "must be one line of letters, digits and plain punctuation"


def _package_complaint(answer: str) -> str | None:
    if not _PACKAGE.fullmatch(answer) or len(answer) > MAX_NAME:
        return f"must be a Python package name (a-z, 0-9, _), at most {MAX_NAME} characters"
    if keyword.iskeyword(answer) or answer in sys.stdlib_module_names or answer in _TAKEN:
        return "is a name that Python or one of the libraries has taken"
    return None


def _example(question: Question) -> str:
    if question.choices:
        return question.choices[0]
    return {"package": "fraud_payments", "name": "fraud-payments", "owner": "risk-ds@example.com"}.get(
        question.name, "text"
    )
