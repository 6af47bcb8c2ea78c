"""A model is released on evidence: missing is not passed, and a waiver names a person, a reason and a near end."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from release_repo import SLO, load_test
from releases import NOON

from carrental_mlops.config.models import Slo
from carrental_mlops.deploy.releases.evidence import WAIVERS, gate_evidence, load_test_evidence, refusals, waivers
from carrental_mlops.deploy.releases.release import Evidence, ModelRef, Waiver
from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.integrations.mlflow import RegisteredModel

MODEL = ModelRef(name="fraud", version="3", digest="c" * 64)


def test_a_load_test_at_the_promised_rate_is_evidence_with_its_figures_and_file(tmp_path: Path) -> None:
    load_test(tmp_path, "one")
    found = load_test_evidence(tmp_path, SLO, MODEL)
    assert found is not None and found.passed
    assert found.file == ".crm/loadtests/one/summary.json"
    assert found.said[-1] == "step_4: p99 40 ms, 0 % failed"


@pytest.mark.parametrize(
    "changed",
    [{"digest": "d" * 64}, {"profile": "smoke"}, {"slo": Slo(p99_ms=200, rps=200, error_rate=0.001)},
     {"slo": Slo(p99_ms=100, rps=50, error_rate=0.001)}, {"profile": "soak"}],
    ids=["another model", "smoke", "looser p99", "lower rate", "four fifths of the rate"],
)  # fmt: skip
def test_a_pass_that_says_nothing_of_this_promise_is_no_evidence(tmp_path: Path, changed: dict[str, Any]) -> None:
    load_test(tmp_path, "one", **changed)
    assert load_test_evidence(tmp_path, SLO, MODEL) is None


def test_the_newest_load_test_counts_and_a_failed_one_is_a_no(tmp_path: Path) -> None:
    load_test(tmp_path, "late", p99=400, started=datetime(2026, 11, 22, tzinfo=UTC))
    load_test(tmp_path, "early")
    found = load_test_evidence(tmp_path, SLO, MODEL)
    assert found is not None and not found.passed
    assert "p99 400 ms, 100 ms allowed" in found.said[0]


def test_a_summary_cut_short_is_no_evidence_and_an_error_where_it_was_named(tmp_path: Path) -> None:
    path = load_test(tmp_path, "one")
    path.write_text(path.read_text()[:200])
    assert load_test_evidence(tmp_path, SLO, MODEL) is None
    with pytest.raises(DataError, match="is no summary of a load test"):
        load_test_evidence(tmp_path, SLO, MODEL, [path])


def test_the_gate_of_a_version_is_evidence_and_one_without_rules_or_cut_short_is_none() -> None:
    def version(gate: str) -> RegisteredModel:
        return RegisteredModel("3", "e" * 64, "training-1", {"gate": gate, "crm.mlflow_run_id": "r1"}, {}, 1e9)

    found = gate_evidence(version('["met: a", "met: b"]'))
    assert found is not None and found.passed and found.file == "runs:/r1" and found.at.year == 2001
    found = gate_evidence(version('["met: a", "not met: b"]'))
    assert found is not None and not found.passed
    assert [gate_evidence(version(gate)) for gate in ("[]", '["met: a', '"met"')] == [None, None, None]


EARLY = Evidence(kind="gate", passed=True, at=NOON, model_digest="c" * 64)
NO = Evidence(kind="load_test", passed=False, at=NOON, model_digest="c" * 64, said=("step_4: p99 400 ms",))


def test_what_is_missing_or_says_no_refuses_unless_waived() -> None:
    needed = ("gate", "load_test")
    waiver = Waiver(what="load_test", by="jane", reason="the load generator is down", expires=NOON)
    assert refusals(needed, [], []) == ["gate: no evidence for this model", "load test: no evidence for this model"]
    assert refusals(needed, [EARLY, NO], []) == ["load test of 2026-11-21 12:00 UTC did not pass: step_4: p99 400 ms"]
    assert refusals(needed, [EARLY, NO], [waiver]) == []
    assert refusals(needed, [EARLY], [waiver]) == []
    assert refusals(needed, [NO], [waiver]) == ["gate: no evidence for this model"]


def _waivers(root: Path, text: str) -> None:
    (root / WAIVERS).parent.mkdir()
    (root / WAIVERS).write_text(text)


def test_a_waiver_counts_until_it_expires(tmp_path: Path) -> None:
    assert waivers(tmp_path, NOON) == ()
    line = "- {what: load_test, by: jane@example.com, reason: the cluster is rebuilt, expires: %s}\n"
    _waivers(tmp_path, line % "2026-12-01" + line % "2026-11-20" + line % "2026-11-21T12:00:00Z")
    assert [one.expires for one in waivers(tmp_path, NOON)] == [datetime(2026, 12, 1, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {what: gate, by: jane, reason: because we can, expires: 2099-01-01}", "holds until 2099-01-01"),
        ("- {what: gate, by: jane, reason: short, expires: 2026-12-01}", r"0.reason: .*at least 10"),
        ("- {what: gate, by: '', reason: because we can, expires: 2026-12-01}", r"0.by"),
        ("- {what: gate, by: jane, reason: because we can}", r"0.expires: Field required"),
        ("- {what: gates, by: jane, reason: because we can, expires: 2026-12-01}", r"0.what"),
        ("- {what: [", "is not YAML"),
    ],
)
def test_a_waiver_without_person_reason_or_near_end_is_refused(tmp_path: Path, text: str, said: str) -> None:
    _waivers(tmp_path, text)
    with pytest.raises(ConfigError, match=said):
        waivers(tmp_path, NOON)
