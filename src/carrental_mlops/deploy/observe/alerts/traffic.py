"""Alerts on a service that nobody reaches or asks."""

from __future__ import annotations

from collections.abc import Iterator

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.observe.alerts.alert import Alert, Cause
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands


def alerts(config: RepoConfig, q: Queries, c: Commands) -> Iterator[Alert]:
    """Down, not asked, restarting."""
    yield Alert(
        "ServiceDown",
        f"absent(crm_model_info{q.sel()})",
        "3m",
        "now",
        "no pod of the service answers Prometheus",
        _DOWN,
        (c.pods(), c.logs(), c.rollback()),
    )
    window = f"{config.watch.no_traffic_minutes * 60:.0f}s"
    yield Alert(
        "NoTraffic",
        f"{q.requests(window)} == 0",
        "1m",
        "soon",
        f"nobody has asked for {config.watch.no_traffic_minutes:g} minutes",
        _UNASKED,
        (c.query(_who(q)), c.status(), c.diagnose()),
    )
    yield Alert(
        "PodsRestart",
        f"max by (namespace, pod) (increase(kube_pod_container_status_restarts_total{q.pods()}[15m])) > 2",
        "0m",
        "soon",
        "{{ $labels.pod }} restarts again and again",
        _RESTARTS,
        (c.pods(), c.logs(), c.rollback()),
    )


def _who(q: Queries) -> str:
    here = f'label_replace(count(crm_model_info{q.sel()}), "cause", "pods are up: callers or route", "", "")'
    gone = f'label_replace(absent(crm_model_info{q.sel()}), "cause", "no pod answers the scrape", "", "")'
    return f"{here} or {gone}"


_DOWN = (
    Cause("pods do not start", "`CrashLoopBackOff` or `ImagePullBackOff`", "the log says why; roll back"),
    Cause("nothing is scheduled", "pods are `Pending`", "look at quota, nodes and the priority class"),
    Cause("the release was removed", "no pod at all", "`crm release list`, then deploy it again"),
    Cause("Prometheus is not let in", "pods are `Running` and ready", "look at ServiceMonitor and NetworkPolicy"),
)
_UNASKED = (
    Cause("callers are down or ask elsewhere", "pods are up", "ask the callers' teams"),
    Cause("the route was changed", "pods are up, the gateway answers 404 or 503", "compare with `crm diff`"),
    Cause("callers are not let in", "pods are up, callers get 403 or no connection", "`deploy.allowed_callers`"),
    Cause("the service is gone", "no pod answers the scrape", "see ServiceDown"),
)
_RESTARTS = (
    Cause("out of memory", "last state `OOMKilled`", "raise `deploy.resources.memory`, see MemoryNearLimit"),
    Cause("the liveness probe fails", "events say `Liveness probe failed`", "see LatencyFast"),
    Cause("it crashes", "the log of the container before ends in a traceback", "roll back"),
)
