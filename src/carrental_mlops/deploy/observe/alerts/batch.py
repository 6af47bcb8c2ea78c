"""Alerts on the batch job: a run that failed, and none that went well in time."""

from __future__ import annotations

from collections.abc import Iterator

from carrental_mlops.config import RepoConfig
from carrental_mlops.config.cron import Cron
from carrental_mlops.deploy.manifests.batch import batch_deadline_s
from carrental_mlops.deploy.observe.alerts.alert import Alert, Cause
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands


def alerts(config: RepoConfig, q: Queries, c: Commands) -> Iterator[Alert]:
    """None where crm.yaml has no batch job. Read from kube-state-metrics: the job's own process has ended."""
    job = config.deploy.batch
    if job is None:
        return
    well, commands = q.batch_went_well(), (c.batch_logs(), c.batch_state(), c.batch_again())
    yield Alert(
        "BatchFailed",
        f"{q.batch_failed()} > {well}",
        "0m",
        "soon",
        "the newest run of the batch job failed, and none has gone well since",
        _FAILED,
        commands,
    )
    if job.suspend:
        return
    apart, deadline = Cron.of(job.schedule).longest_gap_s(), batch_deadline_s(config)
    yield Alert(
        "BatchLate",
        f"time() - {well} > {apart + job.start_within_s + deadline}",
        "5m",
        "now",
        "no run of the batch job has gone well for {{ $value | humanizeDuration }}",
        _LATE,
        (c.batch_state(), c.batch_logs(), c.batch_again()),
    )


_FAILED = (
    Cause("code, data or config", "the log ends in `Fix:`, exit code 1", "do what it says; it was not tried again"),
    Cause("the registry, the store or the source does not answer", "exit code 3", "ask who runs it, then run it again"),
    Cause("it took longer than it may", "`DeadlineExceeded`", "raise `deploy.batch.deadline_s`, or more CPU"),
    Cause("it was killed for memory", "`OOMKilled`", "`large_batch`, or raise `deploy.batch.resources.memory`"),
)
_LATE = (
    Cause("somebody suspended it", "`Suspend: True`", "`kubectl patch`, or the next `crm deploy`, lets it go on"),
    Cause("every run fails", "BatchFailed fires", "see BatchFailed"),
    Cause("no room for its pod", "a pod is `Pending`", "quota, nodes, `deploy.batch.resources`"),
    Cause("Kubernetes starts no run", "`Last Schedule Time` is old", "whether the controller manager is well"),
)
