"""What one replica holds becomes replicas, CPU and memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carrental_mlops.config.deploy import Deploy
from carrental_mlops.loadtest.sizing import Knee, sizing_of


def test_a_service_bound_by_cpu_reserves_what_it_uses_at_its_knee_and_scales_by_cpu() -> None:
    sizing = sizing_of(Knee(1000, 1050, 1100.0, 0.9, 200 * 2**20), peak_rps=5000, headroom=0.3)
    assert (sizing.replica_rps, sizing.minimum, sizing.maximum) == (700, 8, 16)
    assert (sizing.cpu, sizing.memory, sizing.cpu_percent) == ("900m", "320Mi", 70)


def test_a_service_that_waits_scales_by_requests() -> None:
    sizing = sizing_of(Knee(100, 105, 100.0, 0.2, None), peak_rps=1000, headroom=0.3)
    assert sizing.cpu_percent is None and sizing.overlay()["deploy.autoscale.rps"] == 70
    assert sizing.minimum == 15


@given(st.integers(1, 20_000), st.floats(1, 1e6), st.floats(0, 0.9), st.none() | st.floats(0.01, 1000))
def test_with_one_replica_gone_the_others_hold_the_peak(held: int, peak: float, room: float, cpu: float | None) -> None:
    sizing = sizing_of(Knee(held, held + 1, held, cpu, 2**28), peak, room)
    assert (sizing.minimum - 1) * held >= peak * 0.999_999 and sizing.minimum >= 2
    values = {key.removeprefix("deploy."): value for key, value in sizing.overlay().items()}
    nested: dict[str, dict[str, object]] = {"autoscale": {}, "resources": {}}
    for key, value in values.items():
        section, name = key.split(".")
        nested[section][name] = value
    Deploy.model_validate(nested)


@pytest.mark.parametrize("peak", [10.0, 100.0])
def test_two_replicas_are_the_least(peak: float) -> None:
    assert sizing_of(Knee(1000, 1050, 1000.0, 1.0, None), peak, 0.3).minimum == 2
