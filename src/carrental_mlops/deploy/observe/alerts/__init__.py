"""What somebody is called for: the alerts of a service, one file a subject."""

from __future__ import annotations

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.observe.alerts import audit, batch, canary, features, model, room, slo, switch, traffic
from carrental_mlops.deploy.observe.alerts.alert import SEVERITY, Alert, Cause
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands

__all__ = ["SEVERITY", "Alert", "Cause", "alerts_of"]

_SUBJECTS = (slo, traffic, room, model, features, audit, canary, switch, batch)


def alerts_of(config: RepoConfig, env: str) -> list[Alert]:
    """Every alert of the repo's service in one environment.

    Args:
        config: with the overlay of `env`.
        env: environment.
    """
    queries, commands = Queries.of(config), Commands.of(config, env)
    return [alert for subject in _SUBJECTS for alert in subject.alerts(config, queries, commands)]
