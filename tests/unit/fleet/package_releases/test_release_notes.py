"""Whom a release touches, and who overrides what: folders of repos, read and never imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_packages import HOOK, fleet_repo, package

from carrental_mlops.cli.main import main
from carrental_mlops.errors import ConfigError
from carrental_mlops.fleet.clones import Clones
from carrental_mlops.fleet.inventory import read_fleet
from carrental_mlops.fleet.package_releases.release_notes import release_notes
from carrental_mlops.fleet.package_releases.usage import usage
from carrental_mlops.scaffold.versions import Material

OVERRIDE = "def sample_weight(self, *, rows):\n        return [2.0 for _ in rows]"
CHANGELOG = """# Changelog

## 0.2.0 (2026-12-01)

### Hook
- `TrainStep.sample_weight` gets `seed`.

## 0.1.0 (2026-11-01)
"""


@pytest.fixture
def versions(tmp_path: Path) -> dict[str, Material]:
    hook = HOOK.replace("rows: list[int]", "rows: list[int], seed: int")
    ends = 'removed_hook("TrainStep.sample_weight", since="0.2.0", removed_in="0.4.0", advice="Weigh the rows.")'
    return {
        "0.1.0": package(tmp_path / "v1", "0.1.0"),
        "0.2.0": package(tmp_path / "v2", "0.2.0", hook=hook, changelog=CHANGELOG, declares=ends),
    }


def _repos(fleet: Path) -> dict[str, Path]:
    return Clones(fleet).folders(read_fleet(str(fleet)))


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    folder = tmp_path / "fleet"
    fleet_repo(folder / "risk", "cards", "0.1.0", OVERRIDE)
    fleet_repo(folder / "risk", "wires", "0.1.0", OVERRIDE)
    fleet_repo(folder, "churn", "0.1.0")
    fleet_repo(folder, "ahead", "0.2.0", OVERRIDE.replace("rows)", "rows, seed)"))
    return folder


def _version(versions: dict[str, Material]):
    def version(number: str) -> Material:
        if number not in versions:
            raise ConfigError(f"no {number}", "name another")
        return versions[number]

    return version


def test_overrides_are_counted_without_import(fleet: Path, versions: dict[str, Material]) -> None:
    broken = fleet_repo(fleet, "broken", "0.1.0")
    (broken / "src" / "pay" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (broken / "src" / "pay" / "other.py").write_text("def broken(:\n")
    fleet_repo(fleet, "lost", "0.0.7", OVERRIDE)
    found = usage(_repos(fleet), _version(versions))
    assert found.repos_of("TrainStep.sample_weight") == ("ahead", "risk/cards", "risk/wires")
    assert list(found.hooks) == ["TrainStep.sample_weight"] and len(found.repos) == 6
    assert found.hooks["TrainStep.sample_weight"][1].place == "src/pay/steps.py:5"
    assert len(found.unread) == 2 and found.unread[0].startswith("broken: src/pay/other.py:1")
    assert found.unread[1] == "lost: no 0.0.7"


def test_release_notes_name_the_repos_that_a_release_touches(fleet: Path, versions: dict[str, Material]) -> None:
    notes = release_notes(versions["0.2.0"], None, _repos(fleet), _version(versions))
    assert (notes.old, notes.new) == ("0.1.0", "0.2.0")
    assert [(c.hook, c.what) for c in notes.changes] == [("TrainStep.sample_weight", "changed")]
    assert notes.fleet is not None and notes.fleet.repos == ("risk/cards", "risk/wires")
    assert notes.fleet.current == ("ahead",)
    assert {t.verdict for t in notes.fleet.touched} == {"break"}
    text = notes.markdown()
    assert "`TrainStep.sample_weight`: changed; 3 of 4 repos override it" in text
    assert "removed in 0.4.0: Weigh the rows.; 3 of 4 repos override it" in text
    assert "Whom it touches: 2 of 4 repos" in text and "**risk/cards** (0.1.0) break: src/pay/steps.py:5" in text
    assert "- 0.2.0: `TrainStep.sample_weight` gets `seed`." in text
    told = json.loads(json.dumps(notes.to_json()))
    assert told["fleet"]["hooks"][0]["repos"] == 3 and len(told["fleet"]["touched"]) == 2


def test_without_a_fleet_the_notes_say_that_nobody_was_asked(versions: dict[str, Material]) -> None:
    notes = release_notes(versions["0.2.0"], versions["0.1.0"])
    assert notes.to_json()["fleet"] is None and "was not asked" in notes.markdown()


def test_without_an_earlier_version_they_say_what_to_name(versions: dict[str, Material]) -> None:
    with pytest.raises(ConfigError, match=r"names no version before it[\s\S]*--from VERSION"):
        release_notes(versions["0.1.0"], None)


def test_the_commands_count_and_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fleet_repo(tmp_path / "fleet", "cards", "0.1.0", "def sample_weight(self, *, rows, target):\n        return None")
    _crm("hooks", "--fleet", str(tmp_path / "fleet"), "train")
    assert (
        "TrainStep.sample_weight  1 of 1 repo overrides it\n  cards (0.1.0)  src/pay/steps.py:5"
        in capsys.readouterr().out
    )
    (tmp_path / "fleet.yaml").write_text("services: [{path: fleet/cards}]\n")
    _crm("release-notes", "--from", "0.1.0", "--fleet", str(tmp_path / "fleet.yaml"), "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["hooks"] == [] and told["fleet"]["touched"] == [] and told["fleet"]["current"] == ["cards"]


def _crm(*arguments: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert not left.value.code
