"""The `serving` section of crm.yaml: how the service runs, what it keeps of each answer, who may ask."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from carrental_mlops.config.frozen import Frozen


def _off(value: Any) -> Any:
    """YAML reads an `off` without quotes as False."""
    return "off" if value is False else value


class OnlineFeatures(Frozen):
    """Stored features, by entity id."""

    source: Literal["store", "server", "request"] = "store"
    """`store`: read from the online store, without Feast; `server`: asked of Feast's own feature server at `feast_url`;
    `request`: the caller sends them."""
    feast_url: str | None = Field(default=None, pattern=r"^https?://[^@/]+(/[^@?#]*)?$")
    """Feast's feature server (`feast serve`), such as `http://feast:6566` (server)."""
    budget_ms: float = Field(default=20, gt=0)
    """Time for reading them in one request (ms); over it they count as not there."""
    stale_after_hours: float = Field(default=48, gt=0)
    """Older values are stale (hours since the snapshot)."""
    when_stale: Literal["flag", "fallback", "refuse"] = "flag"
    """Stale, or not read in time. `flag`: answer with what there is and say so; `fallback`: answer as for an unknown
    entity and say so; `refuse`: 503. An unknown entity is always answered, with a flag."""

    @model_validator(mode="after")
    def _server_has_url(self) -> OnlineFeatures:
        if self.source == "server" and self.feast_url is None:
            raise ValueError("source `server` wants `feast_url`")
        return self


class Audit(Frozen):
    """What is kept of each answer."""

    kind: Annotated[Literal["durable", "best_effort", "off"] | None, BeforeValidator(_off)] = None
    """`durable`: on disk before the answer, a full disk refuses (503); `best_effort`: bounded, drops are counted.
    Unset: durable for tier 1 and 2, best_effort for tier 3."""
    clear: tuple[str, ...] = ()
    """Request fields kept in the clear; every other one is masked."""
    show_caller: bool = False
    """Keep who asked in the clear; the name of a caller may be personal."""
    folder: str = ".crm/audit"
    """Where it lies before it is shipped, relative to the repo."""
    sink: str | None = Field(default=None, pattern=r"^(https?://[^@/]+(/[^@]*)?|kafka://[^@/]+/[A-Za-z0-9._-]+)$")
    """Where `crm audit ship` sends it: `http(s)://…`, `kafka://broker:port/topic`, or OpenSearch and Elasticsearch by
    `https://…:9200/audit-personal/_bulk` (an index a day); unset: it stays in `folder`."""
    sink_secret_file: str | None = None
    """A bearer token (http), `USER:PASSWORD` (OpenSearch), or properties of the client as a JSON object, such as
    `sasl.password` (kafka)."""
    segment_mb: int = Field(default=64, ge=1)
    """Size at which a file is closed and the next begun (MiB)."""
    segment_s: float = Field(default=60, gt=0)
    """Age at which a file is closed (seconds), so that it is shipped."""
    keep_days: float = Field(default=30, gt=0)
    """Days that events are kept in `folder`: from then on `crm audit prune` removes them, where there is a sink only
    those that it has."""
    queue: int = Field(default=20_000, gt=0)
    """Events that wait at most in memory (best_effort)."""
    input_key_file: str | None = None
    """File with the 32-byte key, base64, that encrypts the full input for replay; unset: the full input is not kept.
    Older keys may stand on further lines, for reading."""
    input_folder: str = ".crm/audit-inputs"
    """Where the encrypted inputs lie, relative to the repo."""
    input_sink: str | None = Field(default=None, pattern=r"^s3://[^/]+/.*$")
    """Where `crm audit ship` copies the encrypted inputs, such as `s3://bucket/audit-inputs/`; `crm replay` fetches
    what it needs. Unset: they stay in `input_folder`."""
    input_keep_days: float = Field(default=30, gt=0)
    """Days that encrypted inputs are kept."""


class Auth(Frozen):
    """Who may ask."""

    kind: Literal["none", "bearer", "oidc", "peer"] = "none"
    """Health and metrics are open to all. `bearer`: a token of `token_file`; `oidc`: a JWT of `issuer`; `peer`: an
    identity header that `peers` sets."""
    token_file: str | None = None
    """One `TOKEN` or `NAME TOKEN` a line, relative to the repo; read again when it changes (bearer)."""
    issuer: str | None = None
    """URL of the issuer (oidc)."""
    audience: str | None = None
    """Audience that the token must name (oidc)."""
    jwks_url: str | None = None
    """Where the issuer's keys are (oidc); unset: from its discovery document."""
    header: str = "x-forwarded-user"
    """Identity header (peer)."""
    peers: tuple[str, ...] = ()
    """Addresses or networks (CIDR) that may set `header` (peer)."""
    dependencies: Annotated[Literal["off", "known", "any"], BeforeValidator(_off)] = "known"
    """Who is told the versions of the installed packages by `/v2?dependencies=true`: nobody, whoever authenticated,
    or anybody."""


class Traces(Frozen):
    """Which requests leave OpenTelemetry traces, and where these go."""

    ratio: float = Field(default=0.1, ge=0, le=1)
    """Share of requests traced where the caller did not decide (fraction)."""
    endpoint: str | None = None
    """OTLP over HTTP, such as `http://collector:4318/v1/traces`; unset: no traces."""
    query: str | None = Field(default=None, pattern=r"^https?://[^@/]+(/[^@?#]*)?$")
    """Where `crm trace` asks for spans: Jaeger's query service or Tempo, such as `http://jaeger-query:16686`."""


class Serving(Frozen):
    """How the service runs."""

    host: str = "127.0.0.1"
    """Address to listen on; the container's overlay says 0.0.0.0."""
    port: int = Field(default=8080, ge=0, le=65535)
    """REST and metrics; 0 takes a free one."""
    grpc_port: int | None = Field(default=None, ge=0, le=65535)
    """gRPC; unset: REST alone."""
    workers: int = Field(default=1, ge=1)
    """Processes; each loads the model."""
    queue: int = Field(default=64, gt=0)
    """Requests in work or waiting in one worker; more are answered 429."""
    deadline_ms: float | None = Field(default=None, gt=0)
    """An answer that took longer is a 504 (ms). Unset: twice the p99 of the SLO."""
    max_body_kb: int = Field(default=4096, gt=0)
    """Largest body, also after gzip (KiB); more is a 413."""
    max_rows: int = Field(default=5000, gt=0)
    """Most rows of one request."""
    head_timeout_s: float = Field(default=10, gt=0)
    """A connection whose request line and headers took longer to arrive is closed (seconds)."""
    body_timeout_s: float = Field(default=10, gt=0)
    """A body that took longer to arrive is a 408 (seconds); a client that reads its answer no faster is cut off."""
    keep_alive_s: float = Field(default=75, gt=0)
    """A connection without a request for this long is closed (seconds); longer than the load balancer in front."""
    drain_s: float = Field(default=10, ge=0)
    """After SIGTERM: time in which the service says it is not ready and still answers (seconds)."""
    features: OnlineFeatures = OnlineFeatures()
    audit: Audit = Audit()
    auth: Auth = Auth()
    traces: Traces = Traces()
