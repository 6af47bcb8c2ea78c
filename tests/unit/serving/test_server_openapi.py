"""Every request that the service's own OpenAPI allows, and many that it does not, get what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from service_process import ServiceProcess, running

from carrental_mlops.scaffold.render import new_repo

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The fraud service as generated; its stored features come with the request."""
    folder = tmp_path_factory.mktemp("generated")
    repo = new_repo("fraud-realtime", {"name": "payments", "tier": "2"}, folder).path
    sets = ["serving.features.source=request", "serving.audit.kind=best_effort", "serving.body_timeout_s=2"]
    with running(repo, _bundle(folder / "bundle", repo), sets) as found:
        yield found


def _bundle(folder: Path, repo: Path) -> Path:
    import lightgbm
    import numpy as np

    from carrental_mlops.data.model import LightGbm, Model
    from carrental_mlops.serving.endpoint import Identity
    from carrental_mlops.serving.load import Bundle

    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.uniform(0, 2_000, 1_000), rng.uniform(0, 24, 1_000)])
    trained = lightgbm.Dataset(rows, (rows[:, 0] > 1_500).astype(int))
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, trained, 5)
    folder.mkdir()
    digest = Model(LightGbm(booster), ("amount_eur", "hour"), threshold=0.5).save(folder)
    Bundle(folder, Identity("payments", "1", digest)).write()
    return folder


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_the_service_keeps_to_its_openapi(service: ServiceProcess, mode: Any) -> None:
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{service.port}/openapi.json")
    for found in schema.get_all_operations():
        operation = found.ok()
        if mode is schemathesis.GenerationMode.NEGATIVE and not operation.body:
            continue

        @settings(
            max_examples=40,
            deadline=5_000,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            case.call_and_validate(checks=CHECKS, timeout=10)

        ask()
    assert service.ask("/v2/health/ready")[0] == 200
