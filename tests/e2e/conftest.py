"""End-to-end tests share one control plane a session, and end with a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from cluster_definitions import apply_definitions
from control_plane import ControlPlane, control_plane, missing
from e2e_table import E2eTable
from operator_stand_in import OperatorStandIn
from seldon_operator import running_operator, seldon_operator


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
    """Seldon's own operator where `SELDON_OPERATOR` and `SELDON_CHART` name it, and what stands in for the others."""
    own = seldon_operator()
    stand_in = OperatorStandIn(plane, seldon=own is None)
    stand_in.start()
    with running_operator(plane, own) if own else nullcontext():
        yield stand_in
    stand_in.stop()
