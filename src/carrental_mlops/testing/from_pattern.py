"""A text that a regular expression takes, made from the expression itself."""

from __future__ import annotations

import importlib
import string
from typing import Any

import numpy as np

codes: Any = importlib.import_module("re._constants")  # typeshed knows neither
parser: Any = importlib.import_module("re._parser")

_MORE = 4
"""So many repetitions beyond the least, where there is no end."""
_CLASSES = {
    codes.CATEGORY_DIGIT: string.digits,
    codes.CATEGORY_WORD: string.ascii_letters + string.digits + "_",
    codes.CATEGORY_SPACE: " ",
    codes.CATEGORY_NOT_DIGIT: string.ascii_letters,
    codes.CATEGORY_NOT_SPACE: string.ascii_letters,
    codes.CATEGORY_NOT_WORD: "-",
}


def text_of(pattern: str, random: np.random.Generator) -> str:
    """A text of `pattern`; one with look-arounds or back-references may not fit, which the contract then says.

    Args:
        pattern: as of `re`.
        random: chooses.
    """
    return "".join(_made(part, random) for part in parser.parse(pattern))


def _made(part: tuple[Any, Any], random: np.random.Generator) -> str:
    code, value = part
    if code is codes.LITERAL:
        return chr(value)
    if code is codes.ANY:
        return str(random.choice(list(string.ascii_letters)))
    if code is codes.NOT_LITERAL:
        return "y" if value == ord("x") else "x"
    if code is codes.IN:
        return str(random.choice(sorted(_allowed(value))))
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
        least, most, inner = value
        times = int(random.integers(least, min(most, least + _MORE) + 1))
        return "".join(_made(one, random) for _ in range(times) for one in inner)
    if code is codes.SUBPATTERN:
        return "".join(_made(one, random) for one in value[-1])
    if code is codes.BRANCH:
        return "".join(_made(one, random) for one in value[1][int(random.integers(len(value[1])))])
    return ""


def _allowed(parts: list[tuple[Any, Any]]) -> set[str]:
    found: set[str] = set()
    for code, value in parts:
        if code is codes.LITERAL:
            found.add(chr(value))
        elif code is codes.RANGE:
            found |= {chr(n) for n in range(value[0], value[1] + 1)}
        elif code is codes.CATEGORY:
            found |= set(_CLASSES[value])
    if parts[0][0] is codes.NEGATE:
        return set(string.ascii_letters + string.digits) - found
    return found
