"""The `watch` section of crm.yaml: when somebody is called, and where they look."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from carrental_mlops.config.frozen import Frozen

Url = Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]


class Watch(Frozen):
    """What the alerts measure beside the SLO."""

    team: str | None = Field(default=None, pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """Who is called: Alertmanager has a route for each team. Unset: the part of `owner` before the `@`."""
    model_max_age_days: float = Field(default=90, gt=0)
    """A model that was registered longer ago is to be trained again (days)."""
    max_score_drift: float = Field(default=0.2, gt=0)
    """Most population stability index between the scores of the last hours and those of the week before."""
    no_traffic_minutes: float = Field(default=15, gt=0)
    """A service that nobody asks for so long has lost its callers (minutes); longer for one that sleeps at night."""
    prometheus: Url = "http://prometheus-operated.monitoring:9090"
    """Where rollouts, `crm switch`, `crm diagnose`, the commands of the runbook and KEDA ask."""
    grafana: Url = "http://grafana.monitoring"
    """Where the dashboards are."""
    runbooks: Url = "http://runbooks.monitoring"
    """Where the runbooks are published: `<this>/<service>#<alert>`."""
