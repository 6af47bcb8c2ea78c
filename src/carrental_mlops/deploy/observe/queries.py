"""PromQL of one service: what its alerts, dashboards and runbook ask of the metrics of `serving/telemetry.py`."""

from __future__ import annotations

from dataclasses import dataclass

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.manifests import labels
from carrental_mlops.serving.telemetry import bin_label

FAILED_CODES = "5..|429"
"""Answers that the service owed, a regular expression: its own failures and what it had no room for."""
FAILED = f'code=~"{FAILED_CODES}"'
"""The same as a matcher."""
CANARY, CHAMPION = (f'{labels.PROMETHEUS_TRACK}="{track}"' for track in (labels.CANARY, labels.CHAMPION))
"""Matchers of the pods' track."""
_IN_CONTAINER, _CPU, _MEMORY = 'container!=""', 'resource="cpu"', 'resource="memory"'
_FLOOR = "1e-4"
"""Least share of a bin, as in `data/measures/drift.py`."""


@dataclass(frozen=True)
class Queries:
    """Expressions about one service in one namespace.

    Args:
        service: its name, which is the label `model`.
        namespace: where it runs.
    """

    service: str
    namespace: str

    @classmethod
    def of(cls, config: RepoConfig) -> Queries:
        """Those of the repo's service."""
        return cls(config.service, config.deploy.namespace)

    def sel(self, *more: str) -> str:
        """A selector of the service's own metrics, with further matchers."""
        return "{" + ",".join((f'namespace="{self.namespace}"', f'model="{self.service}"', *more)) + "}"

    def pods(self, *more: str) -> str:
        """A selector of the cluster's metrics of the service's pods."""
        tracks = "|".join((*labels.TRACKS, *labels.PARTS))
        return "{" + ",".join((f'namespace="{self.namespace}"', f'pod=~"{self.service}-({tracks})-.+"', *more)) + "}"

    def requests(self, window: str, by: str = "namespace, model", *more: str) -> str:
        """Requests a second."""
        return f"sum by ({by}) (rate(crm_requests_total{self.sel(*more)}[{window}]))"

    def errors(self, window: str, by: str = "namespace, model", *more: str) -> str:
        """Share of answers that failed (fraction); NaN where nobody asked."""
        failed = f"sum by ({by}) (rate(crm_requests_total{self.sel(FAILED, *more)}[{window}]))"
        return f"{failed} / {self.requests(window, by, *more)}"

    def slow(self, window: str, limit_s: float) -> str:
        """Share of answers slower than `limit_s`, which is a border of the histogram (fraction)."""
        return self._above("crm_request_seconds", window, limit_s, "namespace, model")

    def quantile(self, q: float, window: str, by: str = "namespace, model", *more: str) -> str:
        """Quantile of server time (seconds)."""
        buckets = f"sum by (le, {by}) (rate(crm_request_seconds_bucket{self.sel(*more)}[{window}]))"
        return f"histogram_quantile({q:g}, {buckets})"

    def failures(self, by: str = "cause, version, pod") -> str:
        """Answers not given in a quarter of an hour, most first."""
        return f"sort_desc(sum by ({by}) (increase(crm_failures_total{self.sel()}[15m])) > 0)"

    def dropped(self) -> str:
        """Audit events lost in a quarter of an hour, by cause and pod, most first."""
        return f"sort_desc(sum by (cause, pod) (increase(crm_audit_dropped_total{self.sel()}[15m])) > 0)"

    def cpu(self) -> str:
        """CPU that the pods use, share of what they reserved (fraction)."""
        used = f"container_cpu_usage_seconds_total{self.pods(_IN_CONTAINER)}"
        asked = f"kube_pod_container_resource_requests{self.pods(_CPU)}"
        return f"sum by (namespace) (rate({used}[5m])) / sum by (namespace) ({asked})"

    def memory(self) -> str:
        """Memory that each pod holds, share of its limit (fraction)."""
        held = f"container_memory_working_set_bytes{self.pods(_IN_CONTAINER)}"
        limit = f"kube_pod_container_resource_limits{self.pods(_MEMORY)}"
        return f"sum by (namespace, pod) ({held}) / sum by (namespace, pod) ({limit})"

    def stale(self, window: str, limit_s: float) -> str:
        """Share of reads of stored features older than `limit_s`, which is a border, by view (fraction)."""
        return self._above("crm_feature_age_seconds", window, limit_s, "namespace, model, view")

    def feature_hours(self, window: str) -> str:
        """Mean age of stored features, by view (hours)."""
        return (
            f"sum by (view) (rate(crm_feature_age_seconds_sum{self.sel()}[{window}]))"
            f" / sum by (view) (rate(crm_feature_age_seconds_count{self.sel()}[{window}])) / 3600"
        )

    def stages(self, window: str) -> str:
        """Mean seconds of a request by stage; `model` is what the others leave, the wait in the queue included."""
        asked = f"sum(rate(crm_request_seconds_count{self.sel()}[{window}]))"
        whole = f"sum(rate(crm_request_seconds_sum{self.sel()}[{window}]))"
        known = f"rate(crm_stage_seconds_total{self.sel()}[{window}])"
        rest = f"({whole} - (sum({known}) or vector(0))) / {asked}"
        return f'sum by (stage) ({known}) / scalar({asked}) or label_replace({rest}, "stage", "model", "", "")'

    def shares(self, window: str, by: str, *more: str) -> str:
        """Share of scored rows by bin (fraction)."""
        rate = f"rate(crm_scores_total{self.sel(*more)}[{window}])"
        return f"sum by ({by}, bin) ({rate}) / ignoring (bin) group_left sum by ({by}) ({rate})"

    def batch_went_well(self) -> str:
        """When a run of the batch job last ended well, else when the job came to be (seconds since 1970)."""
        of = f'{{namespace="{self.namespace}",cronjob="{self.service}-{labels.BATCH}"}}'
        ended = f"max by (namespace) (kube_cronjob_status_last_successful_time{of})"
        return f"({ended} or max by (namespace) (kube_cronjob_created{of}))"

    def batch_failed(self) -> str:
        """When the newest failed run of the batch job began (seconds since 1970)."""
        of = f'namespace="{self.namespace}",job_name=~"{self.service}-{labels.BATCH}-.+"'
        failed = f'kube_job_failed{{{of},condition="true"}} == 1'
        return f"max by (namespace) (kube_job_status_start_time{{{of}}} and on (namespace, job_name) ({failed}))"

    def canary_drift(self, window: str) -> str:
        """Population stability index of the canary's scores against the champion's."""
        found = self.shares(window, "namespace, model", CANARY)
        expected = self.shares(window, "namespace, model", CHAMPION)
        return stability_index(found, expected, "namespace, model")

    def _above(self, histogram: str, window: str, border: float, by: str) -> str:
        below = self.sel(f'le="{bin_label(border)}"')
        return (
            f"1 - sum by ({by}) (rate({histogram}_bucket{below}[{window}]))"
            f" / sum by ({by}) (rate({histogram}_count{self.sel()}[{window}]))"
        )


def stability_index(found: str, expected: str, by: str) -> str:
    """PSI of two expressions of shares by `bin`; a bin that only one of them has counts as empty in the other.

    Source: Siddiqi, Credit Risk Scorecards (2006), ch. 9, as `data/measures/drift.py`.
    """
    here = f"clamp_min(({found}) or (({expected}) * 0), {_FLOOR})"
    there = f"clamp_min(({expected}) or (({found}) * 0), {_FLOOR})"
    return f"sum by ({by}) (({here} - {there}) * ln({here} / {there}))"
