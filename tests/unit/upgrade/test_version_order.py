"""One order of versions and one reading of a changelog's headings, for upgrade, fleet and kpi."""

import datetime

import pytest

from carrental_mlops.fleet.versions import behind
from carrental_mlops.kpi.behind import published
from carrental_mlops.upgrade.changelog import hook_entries, released, version_key

DAY = datetime.date(2026, 12, 1)


def test_prereleases_stand_before_their_release_and_what_is_no_version_before_all() -> None:
    rising = ["unknown", "0.9.0", "1.2.0.dev3", "1.2.0a2", "1.2.0b1", "1.2.0rc1", "1.2.0rc10", "1.2.0", "1.2.0.post1",
              "1.10.0"]  # fmt: skip
    assert sorted(reversed(rising), key=version_key) == rising
    assert version_key("1.2") == version_key("1.2.0") == version_key("v1.2.0")


@pytest.mark.parametrize(
    "heading",
    [
        "## 1.2.0 (2026-12-01)",
        "## v1.2.0 (2026-12-01)",
        "## [1.2.0] - 2026-12-01",
        "## [1.2.0] — 2026-12-01",
        "## [v1.2.0]: 2026-12-01",
        "## [1.2.0](https://example.com/compare/v1.1.0...v1.2.0) (2026-12-01)",
        "## 1.2.0 2026-12-01",
    ],
)
def test_every_form_of_a_heading_is_read_alike(heading: str) -> None:
    text = f"# Changelog\n\n{heading}\n\n### Hook\n- `TrainStep.weights` is new\n\n## 1.1.0 (2026-11-01)\n"
    assert released(text) == {"1.2.0": DAY, "1.1.0": datetime.date(2026, 11, 1)}
    assert [entry.version for entry in hook_entries(text, "1.1.0", "1.2.0")] == ["1.2.0"]
    assert published(text)["1.2.0"].date() == DAY
    assert behind("1.1.0", "1.2.0", text, DAY + datetime.timedelta(days=3)) == (3, "1.2.0")


def test_a_candidate_has_its_own_day_and_a_heading_may_have_none() -> None:
    text = "## Unreleased\n\n## 1.2.0 (unreleased)\n\n## 1.2.0rc1 (2026-12-01)\n\n## 1.1.0 (2026-13-40)\n"
    assert released(text) == {"1.2.0": None, "1.2.0rc1": DAY, "1.1.0": None}
    assert behind("1.2.0rc1", "1.2.0", text, DAY) == (None, "1.2.0")
    assert behind("1.1.0", "1.2.0rc1", text, DAY) == (0, "1.2.0rc1")
