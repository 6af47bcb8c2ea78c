"""A waiver lets one finding stand, for a person, a reason and a while."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import pytest
import yaml

from carrental_mlops.governance.check import CheckResult, check
from carrental_mlops.governance.mending import apply as apply_mend
from carrental_mlops.governance.waivers import followed

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


GIVEN = """\
# Who answers for what.
- code: CRM804
  path: src/old.py   # until it is gone
  person: Jo Doe
- {code: CRM804, path: "src/old.py", reason: "path: src/old.py"}
- {path: src/*.py, code: CRM804}
- {path: src/other.py}
"""


@pytest.mark.parametrize("new", ["src/new.py", "src/new name.py", "src/a: b.py", "-new.py"])
def test_a_waiver_follows_its_file_and_everything_else_stays_as_it_was(new: str) -> None:
    moved = followed(GIVEN, {"src/old.py": new, "lib/unnamed.py": "lib/b.py"})
    told = [(before, after) for before, after in zip(GIVEN.splitlines(), moved.splitlines(), strict=True)]
    assert [n for n, (before, after) in enumerate(told) if before != after] == [2, 4]
    assert moved.splitlines()[2].endswith("   # until it is gone")
    paths = [entry["path"] for entry in yaml.safe_load(moved)]
    assert paths == [new, new, "src/*.py", "src/other.py"]
    assert yaml.safe_load(moved)[1]["reason"] == "path: src/old.py"
    assert followed(moved, {"src/old.py": new}) == moved


@pytest.mark.parametrize("text", ["", "- [\n", "a: 1\n", "- text\n", "- {path: [a]}\n"])
def test_a_file_that_holds_no_waivers_is_left_as_it_is(text: str) -> None:
    assert followed(text, {"a": "b"}) == text


def test_a_waiver_whose_file_was_renamed_is_mended_with_its_new_name(repo: Path) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=Jo", "-c", "user.email=jo@example.com")
        subprocess.run(["git", "-C", str(repo), *who, *words], check=True, capture_output=True)

    module = "src/fraud_payments/{}.py"
    (repo / module.format("old")).write_text("ANSWER = 42\nMORE = [n for n in range(ANSWER)]\n")
    waive(repo, code="CRM804", path=module.format("old"))
    git("add", "--all")
    git("commit", "-m", "old")
    for before, after in (("old", "newer"), ("newer", "newest")):
        git("mv", module.format(before), module.format(after))
        git("commit", "-m", after)
    from carrental_mlops.governance.view import RepoView
    from carrental_mlops.governance.waivers import apply

    found = check(repo, only=["CRM804"], today=TODAY).findings
    assert [f.path for f in found] == [module.format("newest")]
    unused = apply(RepoView(repo, TODAY), found, whole=True).standing[-1]
    assert unused.code == "CRM107" and f"was renamed to {module.format('newest')}" in unused.what
    assert unused.fix is not None
    apply_mend(repo, unused.fix(repo))
    assert check(repo, only=["CRM804"], today=TODAY).findings == ()


def test_a_waiver_that_waives_nothing_is_a_note_where_every_rule_was_asked(repo: Path) -> None:
    from carrental_mlops.governance.view import RepoView
    from carrental_mlops.governance.waivers import apply

    waive(repo)
    view = RepoView(repo, TODAY)
    assert [f.code for f in apply(view, [], whole=True).standing] == ["CRM107"]
    assert apply(view, [], whole=False).standing == ()
