"""The `deploy` section of crm.yaml and its overlays: where a release runs, in which shape, how much of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from carrental_mlops.config.cron import Cron
from carrental_mlops.config.frozen import Frozen
from carrental_mlops.config.infra import Infra

Platform = Literal["seldon", "kserve"]
Shape = Literal["single", "transformer", "ensemble", "router", "multi_model"]
Rollout = Literal["direct", "canary", "shadow", "ab"]

_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi)?$"
Name = Annotated[str, Field(pattern=_NAME)]
Quantity = Annotated[str, Field(pattern=_QUANTITY)]
PipelineName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Percent = Annotated[int, Field(ge=0, le=100)]


class Resources(Frozen):
    """What one replica reserves and may take."""

    cpu: Quantity = "500m"
    """CPU that is reserved."""
    memory: Quantity = "512Mi"
    """Memory that is reserved, and the most that it may take."""
    cpu_limit: Quantity | None = None
    """The most CPU; unset: no limit, so that no request is throttled while a node has CPU left."""
    gpu: int = Field(default=0, ge=0)
    """GPUs (nvidia.com/gpu); a replica with one runs on GPU nodes."""


class Autoscale(Frozen):
    """Between how many replicas, and what adds one."""

    minimum: int = Field(default=2, ge=1)
    maximum: int = Field(default=10, ge=1)
    cpu_percent: Percent | None = 60
    """Mean CPU, of what is reserved."""
    rps: float | None = Field(default=None, gt=0)
    """Requests a second of one replica; asked of Prometheus."""
    p99_ms: float | None = Field(default=None, gt=0)
    """99th percentile of server time (ms); asked of Prometheus."""
    by: Literal["hpa", "keda"] = "hpa"
    """`hpa` with the Prometheus adapter, or KEDA's own scaler of Prometheus."""
    up_percent: int = Field(default=100, ge=1)
    """Most replicas that 30 s may add, of those there are (percent); always at least two."""
    down_percent: int = Field(default=25, ge=1)
    """Most replicas that a minute may take away, of those there are (percent)."""
    down_after_s: int = Field(default=300, ge=0, le=3600)
    """Load must have been lower for so long before a replica goes (seconds)."""

    @model_validator(mode="after")
    def _in_order(self) -> Autoscale:
        if self.minimum > self.maximum:
            raise ValueError(f"`minimum` ({self.minimum}) is above `maximum` ({self.maximum})")
        if self.cpu_percent is None and self.rps is None and self.p99_ms is None:
            raise ValueError("one of `cpu_percent`, `rps`, `p99_ms` must say when a replica is added")
        return self


class RolloutPlan(Frozen):
    """How a new release takes over from the one before."""

    kind: Rollout = "direct"
    """`direct`: at once; `canary`: by weights that `steps` names; `shadow`: a copy of each request, answers are not
    used; `ab`: a fixed share or a header, until somebody decides."""
    steps: tuple[Percent, ...] = (10, 25, 50)
    """Weights of a canary, one after the other, then all (percent)."""
    step_minutes: float = Field(default=10, gt=0)
    """How long each weight is watched (minutes)."""
    share: Percent = 50
    """Of requests that go to the new release (ab, percent)."""
    header: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+$")
    """Requests whose header of this name is `new` go to the new release, instead of by share (ab)."""
    max_error_rate: float = Field(default=0.01, ge=0, le=1)
    """Most additional errors of a canary over the champion, share of its answers (fraction)."""
    max_p99_ratio: float = Field(default=1.25, ge=1)
    """Most p99 of a canary over that of the champion (ratio)."""
    max_drift: float = Field(default=0.2, gt=0)
    """Most population stability index between the scores of canary and champion."""

    @model_validator(mode="after")
    def _steps_rise(self) -> RolloutPlan:
        if list(self.steps) != sorted(set(self.steps)) or not all(0 < step < 100 for step in self.steps):
            raise ValueError("`steps` wants rising weights above 0 and below 100")
        return self


class Route(Frozen):
    """How requests reach the service from outside its namespace."""

    by: Literal["istio", "ambassador", "gateway", "none"] = "none"
    host: str | None = Field(default=None, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    """Host name that is asked."""
    gateway: str | None = Field(
        default=None, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(/[a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"
    )
    """`namespace/name` of the Istio gateway or Gateway API gateway."""

    @model_validator(mode="after")
    def _has_host(self) -> Route:
        if self.by != "none" and self.host is None:
            raise ValueError(f"a route by {self.by} wants `host`")
        if self.by in ("istio", "gateway") and self.gateway is None:
            raise ValueError(f"a route by {self.by} wants `gateway`")
        return self


class Secrets(Frozen):
    """Where secrets come from; they are files in the container, under /etc/crm/secrets/<name>."""

    by: Literal["external_secrets", "csi", "none"] = "none"
    store: str | None = None
    """Name of the ClusterSecretStore or SecretProviderClass."""
    names: dict[Name, str] = {}
    """File name to key in the store."""

    @model_validator(mode="after")
    def _has_store(self) -> Secrets:
        if self.by != "none" and (self.store is None or not self.names):
            raise ValueError(f"secrets by {self.by} want `store` and `names`")
        return self


class Disk(Frozen):
    """A volume that stays when its pod goes."""

    gb: int = Field(default=1, ge=1)
    """GiB."""
    storage_class: str | None = None
    """Encrypted at rest; unset: the cluster's default. A node that requests pass has a replica in each pod of the
    model, so that its class must offer ReadWriteMany, such as that of EFS."""


class Node(Frozen):
    """A further node of the inference graph; each is a class of the package or of the repo with a server of its own."""

    name: Name
    kind: Literal["transformer", "combiner", "router", "model", "outlier_detector", "drift_detector", "explainer"]
    uses: str
    """`module:Class` that the node runs, such as `carrental_mlops.serving.nodes:Mean`."""
    settings: dict[str, str | int | float | bool] = {}
    """Given to the class."""
    resources: Resources = Resources()
    disk: Disk | None = None
    """Where the node keeps what it has learnt, `.crm/nodes/<name>/`; unset: drift and outlier detectors have one of
    1 GiB, every other node forgets with its pod."""


class Aws(Frozen):
    """The account that a release lives in."""

    region: Literal["eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3"] = "eu-central-1"
    account: str | None = Field(default=None, pattern=r"^[0-9]{12}$")
    role_arn: str | None = Field(default=None, pattern=r"^arn:aws:iam::[0-9]{12}:role/.+$")
    """Of the pod (IRSA); unset: the role `pod` that `crm infra apply` makes, where the overlay has what it needs."""


class Sized(Frozen):
    """Where `autoscale` and `resources` come from; `crm loadtest --tune --write` writes it."""

    evidence: str
    """What was measured: a file, relative to the repo."""
    at: datetime
    """UTC."""


class Approval(Frozen):
    """Who tells the names of those who train and approve, and where a yes is kept."""

    issuer: str | None = Field(default=None, pattern=r"^(https://|http://127\.0\.0\.1:)[^ ]+$")
    """Of the CI's OIDC tokens, such as `https://gitlab.example.com`; unset: git's user is believed."""
    audience: str = "crm"
    """Of the token in CRM_OIDC_TOKEN."""
    store: str | None = Field(default=None, pattern=r"^s3://.+/$")
    """Where `crm approve` keeps each yes: `s3://bucket/approvals/`, which the role approver alone may write."""


class Batch(Frozen):
    """The batch job: the release's model answers many rows at set times, in pods of its own beside the service."""

    schedule: str
    """Five fields of cron, UTC, such as `0 3 * * *`."""
    image: str = Field(pattern=r"^[a-z0-9./:_-]+@sha256:[0-9a-f]{64}$")
    """Of `Dockerfile.pipelines`, by digest; the release's own model comes from the registry when the job starts."""
    pipelines: Annotated[tuple[PipelineName, ...], Field(min_length=1)] = ("batch_inference",)
    """Run one after the other on one disk, such as `[features, large_batch]`; the last one answers."""
    deadline_s: int | None = Field(default=None, gt=0)
    """A run that takes longer is ended, retries included (seconds); unset: `slo.deadline_s`, else four hours."""
    start_within_s: int = Field(default=600, ge=60)
    """A run that could not start so long after its time is left out (seconds)."""
    retries: int = Field(default=1, ge=0, le=10)
    """Further tries where a platform did not answer; an error of code, data or config is not tried again."""
    keep_succeeded: int = Field(default=3, ge=0, le=100)
    """Finished runs whose pods and logs are kept."""
    keep_failed: int = Field(default=3, ge=1, le=100)
    """Failed runs whose pods and logs are kept."""
    suspend: bool = False
    """Whether no run is started for now."""
    resources: Resources = Resources(cpu="1", memory="4Gi")
    scratch_gb: int = Field(default=20, ge=1)
    """Disk of a run, gone with it (GiB)."""
    input_claim: Name | None = None
    """A PersistentVolumeClaim with files to score, mounted read-only at /app/inputs."""
    role_arn: str | None = Field(default=None, pattern=r"^arn:aws:iam::[0-9]{12}:role/.+$")
    """Of the job's pods (IRSA), to read rows and write answers; unset: the role `batch` that `crm infra` makes."""

    @field_validator("schedule")
    @classmethod
    def _comes(cls, text: str) -> str:
        Cron.of(text)
        return text

    @field_validator("pipelines")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("each pipeline once")
        return names


class Deploy(Frozen):
    """How a release runs."""

    platform: Platform = "seldon"
    """`seldon`: Seldon Core v1; `kserve`: KServe's InferenceService. One chart, the same values."""
    namespace: Name = "models"
    context: str | None = None
    """kubectl's context; unset: the current one."""
    image: str | None = Field(default=None, pattern=r"^[a-z0-9./:_-]+$")
    """Image repository, without tag: a release adds the digest."""
    releases: str = Field(default="releases/", pattern=r"/$")
    """Where releases are kept: a folder of the repo, or `s3://bucket/prefix/`."""
    shape: Shape = "single"
    nodes: tuple[Node, ...] = ()
    """Further nodes of the graph, as `shape` needs them, and detectors."""
    orchestrator_image: str | None = Field(default=None, pattern=r"^[a-z0-9./:_-]+@sha256:[0-9a-f]{64}$")
    """Seldon's executor by digest, which calls the nodes of a graph in their order; a single model needs none."""
    batch: Batch | None = None
    """The batch job beside the service; unset: none."""
    rollout: RolloutPlan = RolloutPlan()
    resources: Resources = Resources()
    autoscale: Autoscale = Autoscale()
    sizing: Sized | None = None
    """The load test that sized the release; unset: nobody measured."""
    route: Route = Route()
    secrets: Secrets = Secrets()
    priority_class: str | None = None
    serverless: bool = False
    """Whether KServe runs in its serverless mode (Knative), which its canary needs."""
    audit_volume_gb: int = Field(default=10, ge=1)
    """Disk of one replica for the durable audit before it is shipped (GiB)."""
    audit_storage_class: str | None = None
    """Storage class of that disk, encrypted at rest; unset: the cluster's default."""
    allowed_callers: tuple[Name, ...] = ()
    """Namespaces whose pods may ask; the gateway's and Prometheus' may always."""
    gateway_namespace: Name = "istio-system"
    """Namespace of the gateway's pods."""
    monitoring_namespace: Name = "monitoring"
    """Namespace of Prometheus' pods."""
    cost_centre: str | None = None
    data_class: Literal["public", "internal", "confidential", "personal"] = "personal"
    aws: Aws = Aws()
    approval: Approval = Approval()
    infra: Infra = Infra()
