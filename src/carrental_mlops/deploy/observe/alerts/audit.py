"""Alerts on the audit: events lost, the disk nearly full, events not sent."""

from __future__ import annotations

from collections.abc import Iterator

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.observe.alerts.alert import Alert, Cause
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands

_SHIP_S = 900
"""Longest that a closed file may wait (seconds)."""


def alerts(config: RepoConfig, q: Queries, c: Commands) -> Iterator[Alert]:
    """None where no audit is kept; the last one where it is sent somewhere."""
    if config.serving.audit.kind == "off":
        return
    yield Alert(
        "AuditDropped",
        f"sum by (namespace, model, cause) (increase(crm_audit_dropped_total{q.sel()}[10m])) > 0",
        "0m",
        "soon",
        "audit events are lost ({{ $labels.cause }})",
        _DROPPED,
        (c.query(q.dropped()), c.logs(), c.pods()),
    )
    free = f"min by (namespace, model, pod) (crm_audit_free_ratio{q.sel()})"
    yield Alert(
        "AuditDiskFilling",
        f"{free} < 0.15",
        "5m",
        "now",
        "{{ $value | humanizePercentage }} of the audit's disk is free; a durable audit refuses answers at 0%",
        _FILLING,
        (c.query(f"sort({free})"), c.prune(), c.logs()),
    )
    if config.serving.audit.sink is not None:
        waiting = f"max by (namespace, model, pod) (crm_audit_waiting_seconds{q.sel()})"
        yield Alert(
            "AuditNotShipped",
            f"{waiting} > {_SHIP_S + config.serving.audit.segment_s:g}",
            "5m",
            "soon",
            "audit events have waited for {{ $value | humanizeDuration }} to be sent",
            _WAITING,
            (c.query(f"sort_desc({waiting})"), c.logs(), c.pods()),
        )


_DROPPED = (
    Cause("the disk fails or is full", '`cause="disk"`', "see AuditDiskFilling"),
    Cause("the disk is too slow for the traffic", '`cause="queue_full"`', "a faster volume, or more replicas"),
    Cause("it was too slow at a stop", '`cause="slow_disk"`', "a longer `serving.drain_s`"),
    Cause("a value that cannot be written", '`cause="rendering"`', "the log names its type"),
)
_FILLING = (
    Cause("the sink does not take events", "AuditNotShipped fires", "see AuditNotShipped"),
    Cause("nothing is removed", "`.sent` files older than `serving.audit.keep_days`", "`crm audit prune`"),
    Cause("more traffic than it was made for", "traffic has grown", "raise `deploy.audit_volume_gb`"),
)
_WAITING = (
    Cause("the sink is down or refuses", "the shipper's log has its answer", "ask who runs the sink"),
    Cause("the shipper is down", "its container restarts", "its log says why"),
    Cause("its token has expired", "the log says 401 or 403", "renew `serving.audit.sink_secret_file`"),
)
