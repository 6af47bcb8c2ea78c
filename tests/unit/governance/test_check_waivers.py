"""A waiver lets one finding stand, for a person, a reason and a while."""

from __future__ import annotations

import datetime
from pathlib import Path

from carrental_mlops.governance.check import CheckResult, check

TODAY = datetime.date(2026, 11, 21)


def waive(repo: Path, **given: str) -> None:
    """The only waiver of the repo, of CRM801."""
    entry = {"code": "CRM801", "person": "Jo Doe", "reason": "written next week", "until": "2026-12-01", **given}
    (repo / "config/waivers.yaml").write_text("- {" + ", ".join(f'{k}: "{v}"' for k, v in entry.items()) + "}\n")


def of(repo: Path, *only: str) -> CheckResult:
    return check(repo, only=only or ("CRM8", "CRM105", "CRM106"), today=TODAY)


def bare(repo: Path) -> Path:
    """Without a README that says anything."""
    (repo / "README.md").write_text("# fraud-payments\n")
    return repo


def test_a_waived_finding_blocks_nothing_and_is_still_told(repo: Path) -> None:
    waive(bare(repo))
    result = of(repo)
    assert result.findings == () and not result.blocked
    ((finding, waiver),) = result.waived
    assert finding.code == "CRM801" and waiver.person == "Jo Doe"
    assert result.to_json()["waived"][0]["waiver"]["until"] == "2026-12-01"


def test_the_last_day_counts_and_the_day_after_the_waiver_is_a_finding_itself(repo: Path) -> None:
    waive(bare(repo), until=str(TODAY))
    assert of(repo).findings == ()
    waive(repo, until=str(TODAY - datetime.timedelta(days=1)))
    assert [f.code for f in of(repo).findings] == ["CRM106", "CRM801"]


def test_a_waiver_of_a_path_waives_no_other(repo: Path) -> None:
    waive(bare(repo), path="docs/*")
    assert [f.code for f in of(repo).findings] == ["CRM801"]
    waive(repo, path="README.*")
    assert of(repo).findings == ()


def test_a_waiver_of_half_a_year_is_refused_and_does_not_count(repo: Path) -> None:
    waive(bare(repo), until="2027-11-21")
    assert [f.code for f in of(repo).findings] == ["CRM105", "CRM801"]


def test_of_a_file_that_does_not_hold_no_waiver_counts(repo: Path) -> None:
    for wrong in ({"person": ""}, {"reason": "short"}, {"code": "CRM9"}, {"until": "soon"}):
        waive(bare(repo), **wrong)
        assert [f.code for f in of(repo).findings] == ["CRM105", "CRM801"], wrong
    (repo / "config/waivers.yaml").write_text("- [\n")
    broken = of(repo).findings[0]
    assert broken.code == "CRM105" and broken.line == 2


def test_what_is_wrong_with_waivers_cannot_be_waived(repo: Path) -> None:
    waive(repo, code="CRM106", until="2026-01-01")
    text = (repo / "config/waivers.yaml").read_text()
    (repo / "config/waivers.yaml").write_text(text + text.replace("2026-01-01", "2026-12-01"))
    assert [f.code for f in of(repo).findings] == ["CRM106"]


def test_a_waiver_that_waives_nothing_is_a_note_where_every_rule_was_asked(repo: Path) -> None:
    from carrental_mlops.governance.view import RepoView
    from carrental_mlops.governance.waivers import apply

    waive(repo)
    view = RepoView(repo, TODAY)
    assert [f.code for f in apply(view, [], whole=True).standing] == ["CRM107"]
    assert apply(view, [], whole=False).standing == ()
