"""A waiver of the ledger is held to the bounds of `config/waivers.yaml`."""

import datetime

import pytest

from carrental_mlops.errors import ConfigError
from carrental_mlops.governance.ledger import Declined, waive
from carrental_mlops.governance.waivers import LEAST_REASON, LONGEST

TODAY = datetime.date.today()
ENTRY = Declined("Makefile", "0.1.0", "0.2.0", "0" * 64, "")
WHY = "w" * LEAST_REASON


def test_a_waiver_holds_for_the_longest_time_and_the_shortest_reason() -> None:
    (entry,) = waive((ENTRY,), "Makefile", WHY, "jo@example.com", TODAY + LONGEST)
    assert entry.waived(TODAY) and entry.waived(TODAY + LONGEST)
    assert not entry.waived(TODAY + LONGEST + datetime.timedelta(days=1))


@pytest.mark.parametrize(
    ("reason", "by", "until", "said"),
    [
        (WHY, "jo@example.com", datetime.date(9999, 1, 1), "180 days ahead"),
        (WHY, "jo@example.com", TODAY + LONGEST + datetime.timedelta(days=1), "180 days ahead"),
        (WHY, "jo@example.com", TODAY - datetime.timedelta(days=1), "is over"),
        ("x", "jo@example.com", TODAY, "a reason of 10 letters"),
        ("x" + " " * LEAST_REASON, "jo@example.com", TODAY, "a reason of 10 letters"),
        (WHY, " ", TODAY, "a person"),
    ],
)
def test_a_waiver_too_long_over_or_without_reason_or_person_is_refused(
    reason: str, by: str, until: datetime.date, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        waive((ENTRY,), "Makefile", reason, by, until)


@pytest.mark.parametrize(("reason", "until"), [(WHY, "9999-01-01"), ("x", str(TODAY))])
def test_an_entry_written_by_hand_beyond_the_bounds_is_not_waived(reason: str, until: str) -> None:
    assert not Declined("Makefile", "0.1.0", "0.2.0", "0" * 64, "", reason, "jo@example.com", until).waived(TODAY)
