"""Evidence of the champion and of the release that serves: missing, failed, old."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from releases import NOON, release, stored

from carrental_mlops.deploy.releases.release import Event, Evidence, Waiver
from carrental_mlops.deploy.releases.store import ReleaseStore
from carrental_mlops.governance.check import check
from carrental_mlops.governance.rules.evidence import of_champion, of_release
from carrental_mlops.governance.view import RepoView

TODAY = NOON.date()
SHOWN = {"passed": True, "at": NOON.isoformat(), "said": ["met: recall"], "file": None}


def champion(**changed: Any) -> dict[str, Any]:
    given = {"version": "3", "digest": "3" * 64, "package": "0.1.0", "gate": SHOWN, "load_test": None}
    return {**given, **changed}


def of(repo: Path, **changed: Any) -> list[str]:
    return [f.code for f in of_champion(RepoView(repo, TODAY), champion(**changed))]


def test_a_champion_with_its_gate_is_well(repo: Path) -> None:
    assert of(repo) == []


@pytest.mark.parametrize("gate", [None, {**SHOWN, "passed": False, "said": ["met: a", "missed: recall 0.2"]}])
def test_a_champion_without_a_gate_that_it_passed_is_found(repo: Path, gate: dict[str, Any] | None) -> None:
    assert of(repo, gate=gate) == ["CRM701"]


def test_a_load_test_that_failed_is_found(repo: Path) -> None:
    assert of(repo, load_test={**SHOWN, "passed": False}) == ["CRM702"]


def test_a_load_test_of_another_model_is_older_than_the_model(repo: Path) -> None:
    folder = repo / ".crm" / "loadtests" / "1"
    folder.mkdir(parents=True)
    told = {"profile": "load", "started": "2026-11-01T00:00:00+00:00"}
    (folder / "summary.json").write_text(json.dumps(told))
    assert of(repo) == ["CRM703"]
    (folder / "summary.json").write_text(json.dumps({**told, "profile": "smoke"}))
    assert of(repo) == []


def test_evidence_of_an_older_package_is_found(repo: Path) -> None:
    assert of(repo, package="0.0.9") == ["CRM704"]
    before = {**SHOWN, "at": "2020-01-01T00:00:00+00:00"}  # the lock of what serves was committed after it
    assert of(repo, load_test=before) == ["CRM704"]
    assert of(repo, load_test={**SHOWN, "at": "2099-01-01T00:00:00+00:00"}) == []


def evidence(kind: Any, **changed: Any) -> Evidence:
    return Evidence(**{"kind": kind, "passed": True, "at": NOON, "model_digest": "3" * 64, **changed})


def released(repo: Path, *shown: Evidence, today: datetime.date = TODAY, **changed: Any) -> list[str]:
    made = release(evidence=shown, **changed).model_dump(mode="json")
    return [f.code for f in of_release(RepoView(repo, today), made)]


def test_what_serves_needs_gate_and_load_test_or_a_waiver_that_holds(repo: Path) -> None:
    gate, load = evidence("gate"), evidence("load_test")
    assert released(repo, gate, load) == []
    assert released(repo, gate) == ["CRM702"]
    assert released(repo, load) == ["CRM701"]
    assert released(repo, gate, evidence("load_test", passed=False)) == ["CRM702"]
    waiver = Waiver(what="load_test", by="Jo Doe", reason="measured by hand", expires=NOON)
    assert released(repo, gate, waivers=(waiver,)) == []
    assert released(repo, gate, waivers=(waiver,), today=TODAY + datetime.timedelta(days=1)) == ["CRM702"]


def test_old_evidence_of_what_serves_is_found(repo: Path) -> None:
    gate, load = evidence("gate"), evidence("load_test")
    later = TODAY + datetime.timedelta(days=181)
    assert released(repo, gate, load, today=later) == ["CRM705", "CRM705"]


def test_the_release_of_the_last_environment_is_read_from_its_store(repo: Path) -> None:
    store = ReleaseStore(repo, "releases/")
    store.add("prod", lambda name: stored(name))
    assert [f.code for f in check(repo, only=["CRM7"], today=TODAY).findings] == ["CRM707"]  # none was applied yet
    store.record(Event(release="prod-1", state="available", at=NOON, by="jo@example.com"))
    told = check(repo, only=["CRM7"], today=TODAY).findings
    assert [f.code for f in told] == ["CRM701", "CRM702"] and "prod-1" in told[0].what
    (repo / "releases/prod/1.json").write_text("{")
    assert [f.code for f in check(repo, only=["CRM706"], today=TODAY).findings] == ["CRM706"]


def test_waivers_of_evidence_that_expired_or_do_not_hold_are_found(repo: Path) -> None:
    (repo / "releases").mkdir()
    path = repo / "releases" / "waivers.yaml"
    entry = "- {what: load_test, by: Jo Doe, reason: measured by hand, expires: 2026-11-20T00:00:00Z}\n"
    path.write_text(entry)
    assert [f.code for f in check(repo, only=["CRM708"], today=TODAY).findings] == ["CRM708"]
    path.write_text(entry.replace("11-20", "12-20"))
    assert check(repo, only=["CRM708"], today=TODAY).findings == ()
    path.write_text(entry.replace("what", "which"))
    (broken,) = check(repo, only=["CRM708"], today=TODAY).findings
    assert broken.path == "releases/waivers.yaml" and str(repo) not in broken.what
