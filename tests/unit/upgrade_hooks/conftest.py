"""This package as it is, and as a newer version that a test edits."""

from __future__ import annotations

from pathlib import Path

import pytest
from package_versions import version

from carrental_mlops.scaffold.versions import Material


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Not to be edited."""
    return version(tmp_path_factory.mktemp("old"), "0.1.0")


@pytest.fixture
def versions(old: Material, tmp_path: Path) -> tuple[Material, Material]:
    return old, version(tmp_path, "0.2.0", "## 0.2.0\n### Hook\n- `TrainStep.estimator` uses more trees.\n")
