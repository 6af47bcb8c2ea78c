"""End-to-end tests share one control plane a session, and end with a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_definitions import apply_definitions
from control_plane import ControlPlane, control_plane, missing
from e2e_table import E2eTable
from operator_stand_in import OperatorStandIn


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "e2e":
        config.pluginmanager.register(E2eTable(Path(__file__).with_name("skips.txt")), "e2e_table")


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with controllers, scheduler and nodes where their binaries are there; skips without apiserver."""
    if why := missing():
        pytest.skip(why)
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running


@pytest.fixture(scope="session")
def definitions(plane: ControlPlane) -> list[str]:
    """Names of the custom resource definitions, applied."""
    return apply_definitions(plane)


@pytest.fixture(scope="session")
def operators(plane: ControlPlane, definitions: list[str]) -> Iterator[OperatorStandIn]:
    """What stands in for Seldon's and KServe's operators."""
    stand_in = OperatorStandIn(plane)
    stand_in.start()
    yield stand_in
    stand_in.stop()
