"""A model repo that may release: a registered version, a load test that it held, an image that was pushed."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from carrental_mlops.config.models import Slo
from carrental_mlops.integrations.mlflow import Registry
from carrental_mlops.loadtest import Limits, scenario_of
from carrental_mlops.loadtest.k6 import K6Run, Measured
from carrental_mlops.loadtest.report import Record, write
from carrental_mlops.loadtest.target import Target
from carrental_mlops.loadtest.verdict import judge

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fraud-payments"
SERVICE, IMAGE = "fraud-payments", "registry.example.com/fraud-payments"
SLO = Slo(p99_ms=100, rps=200, error_rate=0.001)
"""Of the example."""


def load_test(root: Path, name: str, p99: float = 40, digest: str = "c" * 64, **changed: Any) -> Path:
    """The `summary.json` that `crm loadtest` leaves, written by its own code; only k6's figures are given."""
    limits = Limits.of(changed.pop("slo", SLO))
    scenario = scenario_of(changed.pop("profile", "load"), limits)
    measured = tuple(
        Measured(
            step, step.rps * round(step.seconds), step.rps * round(step.seconds), 0, p99 / 4, p99 / 2, p99, 2 * p99, 1.0
        )
        for step in scenario.steps
    )
    run = K6Run(measured, {"200": 1000}, False, None, "k6", 1.0)
    target = Target("http://127.0.0.1:1", SERVICE, "3", digest, ())
    started = changed.pop("started", datetime(2026, 11, 21, 12, tzinfo=UTC))
    record = Record(name, started, target, scenario, limits.rps, run, judge(scenario, run), "rows", False, {}, None)
    write(record, "// script", root / ".crm" / "loadtests" / name)
    return root / ".crm" / "loadtests" / name / "summary.json"


def registered(root: Path, number: int = 1) -> str:
    """Digest of a version that the gate let into the repo's own registry; the first is 1."""
    folder = root / ".crm" / "saved"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.txt").write_text(f"model {number}")
    tags = {"gate": json.dumps(["met: roc_auc is 0.9; it must be at least 0.8"]), "crm.trained_by": "ada@example.com"}
    registry, digest = Registry(f"sqlite:///{root}/.crm/mlflow.db", SERVICE), f"{number:064x}"
    assert registry.register(folder, digest, f"training-{number}", tags, {"roc_auc": 0.9}) == str(number)
    return digest


def pushed(root: Path, number: int = 1) -> str:
    """The image of the version `number`, as `crm image build --push` records it."""
    image = f"{IMAGE}@sha256:{number:064x}"
    labels = {"crm.carrental/model-version": str(number), "crm.carrental/model-digest": f"{number:064x}"}
    folder = root / ".crm" / "images" / f"{number}-none"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "image.json").write_text(json.dumps({"image": image, "pushed": True, "labels": labels}))
    return image


def repo_at(root: Path, versions: int = 2) -> Path:
    """The example as a repo at `root` that may release versions 1 to `versions`."""
    shutil.copytree(EXAMPLE, root)
    for number in range(1, versions + 1):
        registered(root, number)
        pushed(root, number)
        load_test(root, f"of-{number}", digest=f"{number:064x}")
    return root


def deploys_to(root: Path, namespace: str, env: str = "prod", **deploy: Any) -> None:
    """Let `env` deploy into `namespace` at once, with no canary; `deploy`: further keys of that section."""
    overlay = yaml.safe_load((EXAMPLE / "config" / f"{env}.yaml").read_text())
    section = {
        **overlay.get("deploy", {}),
        "namespace": namespace,
        "image": IMAGE,
        "rollout": {"kind": "direct"},
        **deploy,
    }
    (root / "config" / f"{env}.yaml").write_text(yaml.safe_dump({**overlay, "deploy": section}))
