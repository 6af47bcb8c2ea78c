"""Ours and the team's package both in new versions: one merge, by `crm upgrade` and by a campaign over a fleet."""

from __future__ import annotations

from pathlib import Path

import pytest
from team_packages import PACKAGE, TEMPLATE, team_package, wheel
from template_versions import MANAGED, commit, git, version

from carrental_mlops.errors import TemplateError
from carrental_mlops.fleet.branch import prepare
from carrental_mlops.fleet.versions import Versions
from carrental_mlops.scaffold.compose import REPO_FOLDER
from carrental_mlops.scaffold.ownership import TemplatePackage, parse_record
from carrental_mlops.scaffold.render import repo_from
from carrental_mlops.scaffold.team_versions import whole
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.phases import start
from carrental_mlops.upgrade.plan import plan

ON_SMALL = {"_crm_from": "small"}
THEIRS = '{% include "crm/Makefile" %}# theirs\n'


@pytest.fixture
def moved(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Material, Material]:
    """A repo on 1.0 of ours and theirs, with an edit; 2.0 of both is there."""
    old = version(tmp_path / "ours", "1.0", {"Makefile": MANAGED, "moved.txt": "ours\n" * 9})
    new = version(tmp_path / "ours", "2.0", {"Makefile": MANAGED + "newer: of ours\n", "deep/moved.txt": "ours\n" * 9})
    folder = team_package(site, "1.0", {"Makefile": THEIRS, "own.txt": "one\n"}, ON_SMALL)
    monkeypatch.setenv("CRM_WHEELS", str(wheel(site, tmp_path / "wheels", "1.0").parent))
    before = whole(TEMPLATE, TemplatePackage(PACKAGE, "1.0"), folder, old)
    repo = repo_from(before, {"name": "svc"}, tmp_path).path
    (repo / "moved.txt").write_text("edited\n" + "ours\n" * 9)
    commit(repo)
    team_package(site, "2.0", {"Makefile": THEIRS + "# more of theirs\n", "own.txt": "two\n"}, ON_SMALL)
    return repo, old, new


def test_one_upgrade_brings_both_and_keeps_the_edit(moved: tuple[Path, Material, Material]) -> None:
    repo, old, new = moved
    outcome = start(plan(repo, old, new))
    assert outcome.unmerged == () and outcome.ledger == ()
    _holds_both(repo, "HEAD")


def test_a_campaign_brings_both(moved: tuple[Path, Material, Material]) -> None:
    repo, old, new = moved
    made = prepare(repo, new, Versions({"1.0": old, "2.0": new}.__getitem__), "Ana <ana@example.com>")
    assert made is not None and made.outcome.unmerged == ()
    _holds_both(repo, made.commit)


def test_a_campaign_takes_no_package_that_is_not_allowed(
    moved: tuple[Path, Material, Material], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo, old, new = moved
    monkeypatch.setenv("CRM_TEMPLATE_PACKAGES", "")
    with pytest.raises(TemplateError, match="CRM_TEMPLATE_PACKAGES does not name"):
        prepare(repo, new, Versions({"1.0": old, "2.0": new}.__getitem__), "Ana <ana@example.com>")


def test_a_template_of_ours_that_is_gone_is_named(moved: tuple[Path, Material, Material]) -> None:
    repo, old, new = moved
    (new.assets / "templates" / "small").rename(new.assets / "templates" / "smaller")
    with pytest.raises(TemplateError, match=r"no template `small` in carrental-mlops 2\.0"):
        plan(repo, old, new)


def _holds_both(repo: Path, at: str) -> None:
    def text(path: str) -> str:
        return git(repo, "show", f"{at}:{path}")

    assert text("Makefile") == MANAGED + "newer: of ours\n# theirs\n# more of theirs\n"
    assert text("own.txt") == "two\n" and text("deep/moved.txt") == "edited\n" + "ours\n" * 9
    recorded = parse_record(text(".crm.json").encode())
    assert (recorded.version, recorded.package) == ("2.0", TemplatePackage(PACKAGE, "2.0"))
    assert REPO_FOLDER not in git(repo, "ls-tree", "-r", "--name-only", at) and "crm/" not in text("Makefile")
