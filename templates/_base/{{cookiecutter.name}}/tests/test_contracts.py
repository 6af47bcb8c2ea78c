# Managed by crm.
"""Importing holds overrides and wiring; here: the configuration, and that the service scores what training saw."""

import subprocess
import sys
from pathlib import Path

import pytest
from carrental_mlops.config import load
from carrental_mlops.core import Pipeline
from carrental_mlops.core.binding import step_configs
from carrental_mlops.serving import ModelService

from {{ cookiecutter.package }} import feature_views, pipelines, service

OURS = [c for c in vars(pipelines).values() if isinstance(c, type) and c.__module__ == pipelines.__name__]
PIPELINES = [c for c in OURS if issubclass(c, Pipeline)]
SERVICES = [c for c in vars(service).values() if isinstance(c, type) and issubclass(c, ModelService)]
SERVICE = next(c for c in SERVICES if c.__module__ == service.__name__)


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda p: str(p.name))
def test_configuration_fits_every_step(pipeline: type[Pipeline], repo: Path) -> None:
    assert step_configs(pipeline, load(repo))


def test_service_reads_the_features_that_training_read() -> None:
    used = {c.feature_set for c in OURS if hasattr(c, "feature_set")}
    assert used == {SERVICE.feature_set}


def test_every_history_has_its_view() -> None:
    views = {v.name for v in feature_views.VIEWS}
    assert {h.view for h in SERVICE.feature_set.history} <= views


def test_service_loads_neither_pandas_nor_feast() -> None:
    code = f"import sys, {service.__name__}; sys.exit(bool({% raw %}{{'pandas', 'feast', 'zenml'}}{% endraw %} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=False).returncode == 0
