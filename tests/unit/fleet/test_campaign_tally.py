"""What counts as failed in a wave, and what counts on neither side."""

from __future__ import annotations

import pytest

from carrental_mlops.fleet.campaign_state import Entry, Step
from carrental_mlops.fleet.tally import Tally, judged


def entry(name: str, step: Step, verdict: str = "clean") -> Entry:
    return Entry(name, 1, step=step, verdict=verdict)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (["opened", "opened", "failed", "failed"], ""),
        (["opened", "failed", "failed"], "2 of 3 repos failed, more than 50%: r1, r2"),
        (["opened", "closed", "closed", "failed"], ""),
        (["closed", "closed", "failed"], "1 of 1 repos failed, more than 50%: r2"),
        (["closed", "closed"], ""),
        (["waiting", "waiting"], ""),
    ],
)
def test_what_a_person_closed_neither_speaks_for_the_version_nor_against_it(steps: list[Step], said: str) -> None:
    entries = [entry(f"r{n}", step) for n, step in enumerate(steps)]
    assert judged(entries).too_many(0.5) == said
    tally = Tally(0.5, len(entries))
    for one in entries:
        if one.step != "waiting":
            tally.count(one)
    assert tally.stop.is_set() is bool(said)


def test_a_conflict_counts_as_failed_and_only_five_names_are_said() -> None:
    told = judged([entry(f"r{n}", "opened", "conflicts") for n in range(7)])
    assert told.too_many(0.2) == "7 of 7 repos failed, more than 20%: r0, r1, r2, r3, r4 …"
