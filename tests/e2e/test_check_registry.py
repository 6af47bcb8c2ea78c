"""The champion's evidence as a real registry has it: seconds of MLflow's own start, so not in `make test`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from carrental_mlops.governance.check import check
from carrental_mlops.integrations.mlflow_client import tracking_uri
from carrental_mlops.integrations.mlflow_registry import Registry
from carrental_mlops.scaffold.render import new_repo

pytestmark = pytest.mark.e2e


def test_the_gate_of_the_champion_is_read_from_the_registry_and_again_when_it_changes(tmp_path: Path) -> None:
    repo = new_repo("fraud-realtime", {"name": "fraud-payments"}, tmp_path).path
    registry = Registry(tracking_uri(repo), "fraud-payments")
    folder = tmp_path / "model"
    folder.mkdir()

    def champion(text: str, before: str | None, **tags: str) -> str:
        (folder / "model.txt").write_text(text)
        version = registry.register(folder, f"{ord(text):064x}", "run-1", tags, {})
        assert registry.promote(version, before)
        return version

    def found() -> list[str]:
        return [f.code for f in check(repo, only=["CRM7"]).findings]

    assert found() == ["CRM707"]
    first = champion("a", None)
    assert found() == ["CRM701"]
    second = champion("b", first, gate=json.dumps(["met: recall is 0.9"]))
    assert found() == []
    champion("c", second, gate=json.dumps(["met: recall is 0.9"]), **{"crm.package_version": "0.0.1"})
    assert found() == ["CRM704"]
    (repo / ".crm" / "mlflow.db").write_text("no database")
    assert found() == ["CRM706"]
