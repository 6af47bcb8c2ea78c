"""Alerts on saturation: queue, CPU, replicas, memory."""

from __future__ import annotations

from collections.abc import Iterator

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.observe.alerts.alert import Alert, Cause
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands


def alerts(config: RepoConfig, q: Queries, c: Commands) -> Iterator[Alert]:
    """No room for more requests, or soon none."""
    three = (c.query(f"sort_desc(max by (pod, version) (crm_queue_fill_ratio{q.sel()}))"), c.status(), c.diagnose())
    refused = f"{q.requests('5m', 'namespace, model', _REFUSED)} / {q.requests('5m')} > 0.01"
    full = f"max by (namespace, model) (crm_queue_fill_ratio{q.sel()}) > 0.8 or {refused}"
    yield Alert("QueueFull", full, "5m", "now", "the queue is full: requests are refused, or will be", _CAUSES, three)
    busy = "the pods use {{ $value | humanizePercentage }} of the CPU that they reserved"
    yield Alert("CpuSaturated", f"{q.cpu()} > 0.9", "15m", "soon", busy, _CAUSES, three)
    replicas = "all {{ $value }} replicas that `deploy.autoscale.maximum` allows run: no room is left"
    yield Alert("ReplicasAtMaximum", _at_maximum(q), "15m", "soon", replicas, _CAUSES, three)
    yield Alert(
        "MemoryNearLimit",
        f"{q.memory()} > 0.9",
        "10m",
        "soon",
        "{{ $labels.pod }} uses {{ $value | humanizePercentage }} of its memory and is killed at 100%",
        _MEMORY,
        (c.query(f"sort_desc({q.memory()})"), c.pods(), c.rollback()),
    )


def _at_maximum(q: Queries) -> str:
    at = f'{{namespace="{q.namespace}",horizontalpodautoscaler=~"(keda-hpa-)?{q.service}(-(champion|predictor).*)?"}}'
    now, most = (
        f"kube_horizontalpodautoscaler_{part}{at}" for part in ("status_current_replicas", "spec_max_replicas")
    )
    return f"max by (namespace, horizontalpodautoscaler) ({now} >= {most})"


_REFUSED = 'code="429"'
_CAUSES = (
    Cause("more requests than were promised for", "traffic is above `slo.rps`", "raise `deploy.autoscale.maximum`"),
    Cause("no replica can be added", "ReplicasAtMaximum fires, or pods are `Pending`", "quota, nodes, maximum"),
    Cause("each answer takes longer than it did", "LatencyFast fires too", "see LatencyFast"),
    Cause("one pod alone is full", "one pod in the first command's output", "delete that pod"),
)
_MEMORY = (
    Cause("a larger model", "since the newest release", "raise `deploy.resources.memory`"),
    Cause("a leak in a hook", "it rises with the hours, in every pod", "restart the pods, then mend the hook"),
    Cause("large requests", "it jumps", "lower `serving.max_rows` or `serving.max_body_kb`"),
)
