"""What an earlier version of the package stored is taken by the chart of today, or refused with what to do."""

from __future__ import annotations

from typing import Any

import pytest
from rendered_repos import NEW, OLD, config_of

from carrental_mlops.deploy.manifests import helm
from carrental_mlops.deploy.manifests.values import as_helm, as_now, values_of
from carrental_mlops.errors import ConfigError

_SINCE = ("batch", "orchestrator")
"""Keys of the values that came after the first release of the package."""


def _stored() -> dict[str, Any]:
    """Values as the first version wrote them: Prometheus among those of the autoscaler."""
    values = as_helm(values_of(config_of(rollout={"kind": "canary"}), "prod", NEW, OLD))
    values["autoscale"] = {**values["autoscale"], "prometheus": values.pop("prometheus")}
    return {key: value for key, value in values.items() if key not in _SINCE}


def test_values_of_today_stay_as_they_are() -> None:
    values = as_helm(values_of(config_of(), "prod", NEW, OLD))
    assert as_now(values) == values


def test_values_of_the_first_version_are_rendered_by_the_chart_of_today() -> None:
    stored = _stored()
    stored["autoscale"]["prometheus"] = "http://prometheus.elsewhere:9090"
    values = as_now(stored)
    assert values["prometheus"] == "http://prometheus.elsewhere:9090" and "prometheus" not in values["autoscale"]
    assert "prometheus" in stored["autoscale"], "what was stored is not changed"
    kinds = {one["kind"] for one in helm.render(values, "fraud-payments", "models")}
    assert "SeldonDeployment" in kinds


@pytest.mark.parametrize("change", [{"mesh": "on"}, {"tracks": []}, {"autoscale": {"minimum": 0}}])
def test_values_that_the_chart_cannot_take_are_refused_with_what_to_do(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(change))}.*\nFix: crm release show ID .* or crm deploy a new"):
        as_now(_stored() | change)
