"""What the fleet says of a repo: read from its files, and `unknown` with a reason where nothing says."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from releases import NOON, stored
from small_fleet import CHANGELOG

import carrental_mlops
from carrental_mlops.deploy.releases.release import Event, Evidence, Stored
from carrental_mlops.deploy.releases.store import ReleaseStore
from carrental_mlops.errors import ConfigError
from carrental_mlops.fleet.standing import Standing, standing
from carrental_mlops.fleet.versions import Versions, behind
from carrental_mlops.governance.ledger import Declined, write_ledger
from carrental_mlops.scaffold.versions import Material

EXAMPLE = Path(__file__).parents[3] / "examples" / "fraud-payments"
TODAY = datetime.date(2026, 11, 21)
MODEL = f"{3:064x}"


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """This package as 0.2.0, released on 2026-11-01, without its templates."""
    root = tmp_path_factory.mktemp("newest")
    (root / "carrental_mlops").symlink_to(Path(carrental_mlops.__file__).parent)
    assets = tmp_path_factory.mktemp("assets")
    (assets / "CHANGELOG.md").write_text("## 0.2.0 - 2026-11-01\n\n## 0.1.0 - 2026-06-01\n")

    class Here(Material):
        @property
        def assets(self) -> Path:
            return assets

    return Here("0.2.0", root)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "pay")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path / "pay", check=True)
    return tmp_path / "pay"


def _standing(repo: Path, newest: Material) -> Standing:
    versions = Versions(lambda version: replace(newest, version=version))
    return standing("pay", str(repo), repo, newest, versions, TODAY, check=False)


def _evidence(passed: bool, kind: str = "load_test") -> Evidence:
    said = ("steady: p99 41 ms, 0 % failed",) if passed else ("p99 was 240 ms",)
    return Evidence(kind=kind, passed=passed, at=NOON, model_digest=MODEL, said=said)  # type: ignore[arg-type]


def _released(repo: Path, *evidence: Evidence) -> None:
    store = ReleaseStore(repo, "releases/")

    def make(name: str) -> Stored:
        return stored(name, evidence=evidence)

    made = store.add("prod", make)
    store.record(Event(release=made.release.id, state="available", at=NOON, by="jane@example.com"))


def test_owner_tier_versions_and_overrides_are_read(repo: Path, newest: Material) -> None:
    found = _standing(repo, newest)
    assert (found.owner, found.tier, found.service) == ("risk-ds@example.com", 1, "fraud-payments")
    assert (found.template, found.template_version, found.package) == ("fraud-realtime", "0.1.0", "~=0.1.0")
    assert found.behind_days == 20
    assert any(said.startswith("TrainStep.sample_weight (src/fraud_payments/steps.py:") for said in found.overrides)


def test_what_nothing_says_is_unknown_with_the_reason(repo: Path, newest: Material) -> None:
    found = _standing(repo, newest)
    assert (found.slo, found.last_train, found.last_deploy, found.score) == ("unknown", None, None, None)
    assert "no release" in found.unknown["slo"] and "not asked" in found.unknown["score"]
    assert {"last_train", "last_deploy"} <= set(found.unknown)


@pytest.mark.parametrize(("passed", "state"), [(True, "held"), (False, "missed")])
def test_the_release_says_when_it_was_trained_and_deployed_and_its_slo(
    repo: Path, newest: Material, passed: bool, state: str
) -> None:
    _released(repo, _evidence(True, "gate"), _evidence(passed))
    found = _standing(repo, newest)
    assert found.last_deploy is not None and found.last_deploy.release == "prod-1"
    assert found.last_train == NOON.isoformat() and found.slo == state
    assert not {"slo", "last_train", "last_deploy"} & set(found.unknown)


def test_a_release_without_a_load_test_leaves_the_slo_unknown(repo: Path, newest: Material) -> None:
    _released(repo, _evidence(True, "gate"))
    found = _standing(repo, newest)
    assert found.slo == "unknown" and "no load test" in found.unknown["slo"]


def test_open_ledger_entries_and_waivers_are_counted_by_their_end(repo: Path, newest: Material) -> None:
    entry = Declined("Makefile", "0.1.0", "0.2.0", "ab", "patch")
    waived = replace(entry, path="Dockerfile.serving", reason="own base image", by="jane", until="2026-12-01")
    over = replace(waived, path=".gitignore", until="2026-11-20")
    write_ledger(repo, [entry, waived, over])
    waivers = [
        {"code": "CRM601", "person": "Jane Doe", "reason": "a sample key of the docs", "until": "2027-01-31"},
        {"code": "CRM501", "person": "Jane Doe", "reason": "moves to a new cluster", "until": "2026-12-15"},
    ]
    (repo / "config" / "waivers.yaml").write_text(yaml.safe_dump(waivers))
    found = _standing(repo, newest)
    assert (set(found.ledger_open), found.ledger_waived) == ({"Makefile", ".gitignore"}, 1)
    assert [one.until for one in found.waivers] == ["2026-12-15", "2027-01-31"]


def test_a_repo_that_cannot_be_read_is_still_there(repo: Path, newest: Material) -> None:
    (repo / "config" / "crm.yaml").write_text("service: [")
    (repo / ".crm.json").write_text("{}")
    (repo / ".crm-ledger.json").write_text("nonsense")
    (repo / "src" / "fraud_payments" / "steps.py").write_text("def (")
    (repo / "pyproject.toml").write_text("[")
    found = _standing(repo, newest)
    assert {"owner", "template", "ledger", "overrides", "package", "slo"} <= set(found.unknown)
    assert found.owner is None and found.template is None
    json.dumps(found.to_json())


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.0.0", (69, "1.1.0")), ("1.1.0", (41, "2.0.0")), ("2.0.0", (0, "")), ("3.0.0", (0, ""))],
)
def test_age_counts_from_the_first_version_that_was_newer(version: str, expected: tuple[int, str]) -> None:
    assert behind(version, "2.0.0", CHANGELOG, datetime.date(2026, 4, 11)) == expected


def test_age_is_unknown_where_the_changelog_has_no_day() -> None:
    assert behind("1.0.0", "1.1.0", "## 1.1.0 (unreleased)\n\n## 1.0.0 - 2026-01-01\n", TODAY) == (None, "1.1.0")
    assert behind("1.0.0", "1.1.0", "", TODAY) == (None, "1.1.0")


def test_a_version_that_is_gone_is_asked_for_once() -> None:
    asked = []

    def fetch(version: str) -> Material:
        asked.append(version)
        raise ConfigError(f"no version {version}", "name another")

    versions = Versions(fetch)
    for _ in range(3):
        with pytest.raises(ConfigError, match=r"no version 9\.9\.9"):
            versions.get("9.9.9")
    assert asked == ["9.9.9"]
