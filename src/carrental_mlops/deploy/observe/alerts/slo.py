"""Alerts on the SLO: the budget of errors and of slow answers burns too fast.

Source of factors and windows: The Site Reliability Workbook (2018), ch. 5, "Alerting on SLOs", table 5-8.
"""

from __future__ import annotations

from collections.abc import Iterator

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.observe.alerts.alert import Alert, Cause
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands

ERRORS, SLOWER = "crm:errors:ratio_rate", "crm:slow:ratio_rate"
"""Prefixes of the recorded ratios; the window is added."""
_FAST = ((14.4, "1h", "5m"), (6.0, "6h", "30m"))
"""2 % of a month's budget in an hour, 5 % in six."""
_SLOW = ((3.0, "1d", "2h"), (1.0, "3d", "6h"))
"""10 % of a month's budget in a day, or in three."""
_SLOW_SHARE = 0.01
"""The SLO is of the 99th percentile, so one answer in a hundred may be slower."""


def alerts(config: RepoConfig, q: Queries, c: Commands) -> Iterator[Alert]:
    """Those of errors, and of latency where the SLO promises one."""
    yield from _pair(q, "Errors", ERRORS, config.slo.error_rate, _errors(c), _why_failed(q, c))
    if config.slo.p99_ms is not None:
        yield from _pair(q, "Latency", SLOWER, _SLOW_SHARE, _latency(c), _where_time_goes(q, c))


def _pair(
    q: Queries, what: str, record: str, budget: float, causes: tuple[Cause, ...], three: tuple[str, str, str]
) -> Iterator[Alert]:
    bad = "fail" if what == "Errors" else "are slower than promised"
    said = f"{{{{ $value | humanizePercentage }}}} of the answers {bad}, {100 * budget:g}% may"
    fast, slow = _burns(q, record, budget, _FAST), _burns(q, record, budget, _SLOW)
    yield Alert(f"{what}Fast", fast, "2m", "now", f"{said}: the month's budget lasts days", causes, three)
    yield Alert(f"{what}Slow", slow, "15m", "later", f"{said}: the budget will not last the month", causes, three)


def _burns(q: Queries, record: str, budget: float, pairs: tuple[tuple[float, str, str], ...]) -> str:
    """True where the budget burns faster than a factor in the long and in the short window of one of the pairs."""
    at = q.sel()
    return " or ".join(
        f"({record}{long}{at} > {factor * budget:.10g} and {record}{short}{at} > {factor * budget:.10g})"
        for factor, long, short in pairs
    )


def _errors(c: Commands) -> tuple[Cause, ...]:
    return (
        Cause("the audit's disk is full or gone", '`cause="audit_disk"`', "see AuditDiskFilling"),
        Cause(
            "stored features are stale or not read, and `when_stale` is `refuse`",
            '`cause="features"`',
            f"see FeaturesStale; meanwhile `{c.switch('rules')}`",
        ),
        Cause("answers come after the deadline", '`cause="deadline"`', "see LatencyFast"),
        Cause("more requests than there is room for", '`cause="queue_full"`', "see QueueFull"),
        Cause("a hook fails on a value that it never saw", "an exception, such as `KeyError`", "the log has the rest"),
        Cause("the newest release", "one `version` alone, since its rollout", "roll back: the third command"),
    )


def _why_failed(q: Queries, c: Commands) -> tuple[str, str, str]:
    return c.query(q.failures()), c.logs(), c.rollback()


def _latency(c: Commands) -> tuple[Cause, ...]:
    return (
        Cause("the online store is slow", '`stage="features"` has most of the time', "see FeaturesLate"),
        Cause("the audit's disk is slow", '`stage="audit"` has most of the time', "look at the volume's IOPS"),
        Cause("too few replicas or too little CPU", '`stage="model"`, and the queue is full', "see QueueFull"),
        Cause("a hook or model of the newest release", '`stage="model"`, the queue is empty', f"`{c.rollback()}`"),
    )


def _where_time_goes(q: Queries, c: Commands) -> tuple[str, str, str]:
    return c.query(f"sort_desc({q.stages('15m')})"), c.diagnose(), c.rollback()
