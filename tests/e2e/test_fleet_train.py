"""The last training of a service, read from the MLflow store that its repo has."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from small_fleet import fleet_of, two_versions

from carrental_mlops.fleet.standing import standing
from carrental_mlops.integrations.mlflow_client import client_for, tracking_uri

pytestmark = pytest.mark.e2e
CONFIG = """\
service: pay
package: pay
owner: team@example.com
tier: 2
columns: {id: row_id, time: at, label: is_bad, entities: [customer_id]}
slo: {p99_ms: 50, rps: 10, error_rate: 0.01}
environments: [local]
"""


def test_the_newest_finished_training_counts_and_no_other_run(tmp_path: Path) -> None:
    old, new, versions = two_versions(tmp_path / "versions")
    root = fleet_of(tmp_path, old, "pay") / "pay"
    (root / "config").mkdir()
    (root / "config" / "crm.yaml").write_text(CONFIG)
    (root / ".crm").mkdir()
    client = client_for(tracking_uri(root))
    experiment = client.create_experiment("pay")
    noon = int(datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC).timestamp() * 1000)
    day = 24 * 3600 * 1000
    runs = (("training", "FINISHED", -day), ("training", "FINISHED", 0), ("training", "FAILED", day),
            ("features", "FINISHED", 2 * day))  # fmt: skip
    for pipeline, status, late in runs:
        tags = {"crm.pipeline": pipeline, "crm.run_id": f"{pipeline}{late}"}
        made = client.create_run(experiment, start_time=noon + late, tags=tags)
        client.set_terminated(made.info.run_id, status, noon + late + 1000)
    found = standing("pay", "pay", root, new, versions, datetime.date(2026, 11, 23), check=False)
    assert found.last_train == "2026-11-20T12:00:00+00:00" and "last_train" not in found.unknown
