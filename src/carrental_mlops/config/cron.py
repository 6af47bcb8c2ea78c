"""Cron texts: which a CronJob can run, and how far apart their times lie."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
_SEEN_DAYS = 9 * 366
"""Long enough for a 29 February around a century's end."""


@dataclass(frozen=True)
class Cron:
    """A cron text of five fields, in UTC.

    Source: Kubernetes, CronJob `spec.schedule`; robfig/cron v3, which reads it, has Sunday as 0 alone. Macros such as
    `@daily` are not taken.
    """

    fields: tuple[frozenset[int], ...]
    """Minutes, hours, days of the month, months, days of the week (0 Sunday)."""
    either_day: bool
    """Whether a day of the month or one of the week is enough: both are named."""

    @classmethod
    def of(cls, text: str) -> Cron:
        """The times of `text`.

        Raises:
            ValueError: it is none, or its time never comes.
        """
        parts = text.split()
        if len(parts) != len(_FIELDS):
            raise ValueError("wants five fields: minute, hour, day of the month, month, day of the week")
        fields = tuple(_values(part, *field) for part, field in zip(parts, _FIELDS, strict=True))
        found = cls(fields, not _is_any(parts[2]) and not _is_any(parts[4]))
        if next(found._days(), None) is None:
            raise ValueError("its day never comes")
        return found

    def longest_gap_s(self) -> int:
        """Most seconds between two of its times."""
        times = sorted(60 * (60 * hour + minute) for hour in self.fields[1] for minute in self.fields[0])
        within = max((later - former for former, later in itertools.pairwise(times)), default=0)
        days = itertools.pairwise(self._days())
        apart = max((86_400 * (later - former).days for former, later in days), default=86_400 * _SEEN_DAYS)
        return max(within, apart - times[-1] + times[0])

    def _days(self) -> Iterator[date]:
        _, _, of_month, months, of_week = self.fields
        first = date(2024, 1, 1)
        for day in (first + timedelta(days=n) for n in range(_SEEN_DAYS)):
            by_date, by_week = day.day in of_month, day.isoweekday() % 7 in of_week
            if day.month in months and ((by_date or by_week) if self.either_day else (by_date and by_week)):
                yield day


def _is_any(text: str) -> bool:
    """As robfig/cron has it: `*` is any, `*/2` is not."""
    return not {"*", "*/1"}.isdisjoint(text.split(","))


def _values(text: str, name: str, least: int, most: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            low, high = (
                (least, most) if span == "*" else (_number(first, least, names), _number(last or first, least, names))
            )
            every = int(step) if "/" in part else 1
        except ValueError:
            raise ValueError(f"{name}: `{part}` is no number, range or step") from None
        high = most if "/" in part and not dash else high
        if not least <= low <= high <= most or every < 1:
            raise ValueError(f"{name}: `{part}` does not lie in {least} to {most}")
        found.update(range(low, high + 1, every))
    return frozenset(found)


def _number(text: str, least: int, names: tuple[str, ...]) -> int:
    if text.lower() in names:
        return names.index(text.lower()) + least
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)
