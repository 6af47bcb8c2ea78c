"""What Helm is given: typed values of a release, made of crm.yaml, the release and the one that runs."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from carrental_mlops.config import RepoConfig
from carrental_mlops.config.deploy import Autoscale, Deploy, Name, Percent, Platform, Resources, Rollout, Route, Secrets
from carrental_mlops.config.frozen import Frozen
from carrental_mlops.deploy.manifests import labels
from carrental_mlops.deploy.manifests.batch import BatchValues, batch_of
from carrental_mlops.deploy.manifests.labels import CANARY, CHAMPION, SHADOW, TrackName
from carrental_mlops.deploy.manifests.network import REDIS_SECRET, Egress, egress_of
from carrental_mlops.deploy.manifests.node_values import NodeValues, nodes_of
from carrental_mlops.deploy.manifests.pod_roles import role_arn_of
from carrental_mlops.deploy.manifests.shapes import Unit, check_supported, graph_of
from carrental_mlops.deploy.observe.dashboard import dashboard_of
from carrental_mlops.deploy.observe.rules import rules_of
from carrental_mlops.deploy.releases.release import Release
from carrental_mlops.errors import ConfigError

PRE_STOP_S = 3
"""Time that a gateway takes to learn that a pod goes, before the service is told (seconds)."""
_LAST_ANSWERS_S = 27
"""After the drain: the last answers (20 s at most, `serving.server`) and the audit's last events (seconds)."""
_LONGEST_NAME = 40
"""Of a service: Kubernetes allows 63 for the names that are made of it."""

LabelValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]


class Track(Frozen):
    """A release that runs: the champion, or beside it the one that is tried."""

    name: TrackName
    release: LabelValue
    image: str = Field(pattern=r"^[a-z0-9./:_-]+@sha256:[0-9a-f]{64}$")
    model_version: LabelValue
    model_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    share: Percent
    """Of requests (percent); of a shadow: of those that are copied."""
    minimum: int = Field(ge=1)
    """Least replicas."""


class AuditValues(Frozen):
    """Where the audit lies and whether a container beside the service sends it on."""

    durable: bool
    volume_gb: int = Field(ge=1)
    storage_class: str | None
    ship: bool


class NetworkValues(Frozen):
    """Who may ask, and what may be asked."""

    callers: tuple[Name, ...]
    gateway: Name
    monitoring: Name
    egress: tuple[Egress, ...]


class Values(Frozen):
    """All that the chart `model-service` is given."""

    service: str = Field(pattern=rf"^[a-z]([-a-z0-9]{{0,{_LONGEST_NAME - 2}}}[a-z0-9])?$")
    env: LabelValue
    platform: Platform
    serverless: bool
    labels: dict[str, LabelValue]
    """On every object and pod."""
    annotations: dict[str, str]
    """On every object."""
    tracks: Annotated[tuple[Track, ...], Field(min_length=1, max_length=2)]
    """The champion, and behind it at most one other."""
    rollout: Rollout
    header: str | None
    """Requests whose header of this name is `new` go to the second track."""
    graph: Unit
    orchestrator: str | None = None
    """Image of what calls the nodes of a graph on Seldon; where it has one node, or on KServe: none."""
    nodes: tuple[NodeValues, ...]
    batch: BatchValues | None = None
    """The CronJob beside the service."""
    resources: Resources
    autoscale: Autoscale
    prometheus: str = "http://prometheus-operated.monitoring:9090"
    """Where KEDA asks."""
    route: Route
    secrets: Secrets
    redis_url_file: bool
    """Whether the secret `redis-url` says where the online store is."""
    role_arn: str | None
    priority_class: str | None
    audit: AuditValues
    network: NetworkValues
    grpc: bool
    pre_stop_s: int = Field(ge=0)
    drain_s: int = Field(ge=0)
    grace_s: int = Field(gt=0)
    """Time from the news that a pod goes to its end by force (seconds); above pre-stop and drain together."""
    rules: tuple[dict[str, Any], ...]
    """Groups of recording and alerting rules for a PrometheusRule."""
    dashboard: str
    """Grafana's dashboard, as JSON text."""


def values_of(
    config: RepoConfig, env: str, release: Release, champion: Release | None = None, weight: int | None = None
) -> Values:
    """Values for `release` in `env`, beside `champion` where the rollout keeps that running.

    Args:
        config: of `env`.
        env: an environment of the repo.
        release: is put there.
        champion: runs there; None, or a direct rollout: `release` takes its place at once.
        weight: share of requests for `release` (percent); None: the rollout's own, a canary's first step.

    Raises:
        ConfigError: the platform cannot run it, a node is wrong, or a name is too long; names what can.
    """
    deploy = config.deploy
    check_supported(deploy)
    return Values(
        service=_checked_name(config.service),
        env=env,
        platform=deploy.platform,
        serverless=deploy.serverless,
        labels=_labels(config, env),
        annotations={labels.OWNER: config.owner, labels.DATA_CLASS: deploy.data_class},
        tracks=_tracks(deploy, release, champion, weight),
        rollout=deploy.rollout.kind,
        header=deploy.rollout.header,
        graph=graph_of(deploy, config.service),
        orchestrator=deploy.orchestrator_image if deploy.platform == "seldon" and deploy.shape != "single" else None,
        nodes=nodes_of(deploy),
        batch=batch_of(config, env),
        resources=deploy.resources,
        autoscale=deploy.autoscale,
        prometheus=str(config.watch.prometheus),
        route=deploy.route,
        secrets=deploy.secrets,
        redis_url_file=REDIS_SECRET in deploy.secrets.names,
        role_arn=role_arn_of(config, env, "pod"),
        priority_class=deploy.priority_class,
        audit=_audit(config),
        network=_network(config),
        grpc=config.serving.grpc_port is not None,
        pre_stop_s=PRE_STOP_S,
        drain_s=math.ceil(config.serving.drain_s),
        grace_s=PRE_STOP_S + math.ceil(config.serving.drain_s) + _LAST_ANSWERS_S,
        rules=tuple(rules_of(config, env)),
        dashboard=json.dumps(dashboard_of(config)),
    )


def as_helm(values: Values) -> dict[str, Any]:
    """`values` as plain JSON values, all of them written out."""
    return values.model_dump(mode="json")


def as_now(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Values that this or an earlier version of the package stored, as the chart takes them now.

    Raises:
        ConfigError: they hold what this version does not know, or lack what it cannot do without.
    """
    scale = dict(stored.get("autoscale") or {})
    moved = {"prometheus": scale.pop("prometheus")} if "prometheus" in scale else {}
    try:
        return as_helm(Values.model_validate({**moved, **stored, "autoscale": scale}))
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"its values were stored by a version of the package whose chart this is not: {at}: {first['msg']}",
            "crm release show ID says which package made it: take it with that one, or crm deploy a new release",
        ) from error


def digest_of(values: Values) -> str:
    """`sha256:…` of the values as canonical JSON: keys sorted, no spaces (as RFC 8785 has it for such values)."""
    text = json.dumps(as_helm(values), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _checked_name(service: str) -> str:
    if not re.fullmatch(rf"[a-z]([-a-z0-9]{{0,{_LONGEST_NAME - 2}}}[a-z0-9])?", service):
        raise ConfigError(
            f"service: {service!r} cannot name Kubernetes objects",
            f"use small letters, digits and -, at most {_LONGEST_NAME} of them",
        )
    return service


def _labels(config: RepoConfig, env: str) -> dict[str, str]:
    return {
        labels.NAME: config.service,
        labels.MANAGED_BY: labels.MANAGER,
        labels.ENV: env,
        labels.OWNER: _label(config.owner),
        labels.COST_CENTRE: _label(config.deploy.cost_centre or "unset"),
        labels.TIER: str(config.tier),
        labels.DATA_CLASS: config.deploy.data_class,
    }


def _label(text: str) -> str:
    """`text` as a label may hold it; the whole of it stands in the annotation of the same name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text.replace("@", "-at-"))[:63].strip("-_.") or "unset"


def _tracks(deploy: Deploy, release: Release, champion: Release | None, weight: int | None) -> tuple[Track, ...]:
    least, kind = deploy.autoscale.minimum, deploy.rollout.kind
    if champion is None or kind == "direct":
        return (_track(CHAMPION, release, 100, least),)
    if kind == SHADOW:
        share = 100 if weight is None else weight
        return (_track(CHAMPION, champion, 100, least), _track(SHADOW, release, share, _part(least, share)))
    own = deploy.rollout.steps[0] if kind == CANARY else deploy.rollout.share
    share = own if weight is None else weight
    return (_track(CHAMPION, champion, 100 - share, least), _track(kind, release, share, _part(least, share)))


def _part(least: int, share: int) -> int:
    return max(1, math.ceil(least * share / 100))


def _track(name: TrackName, release: Release, share: int, minimum: int) -> Track:
    return Track(
        name=name,
        release=_label(release.id),
        image=release.image,
        model_version=_label(release.model.version),
        model_digest=release.model.digest,
        share=share,
        minimum=minimum,
    )


def _audit(config: RepoConfig) -> AuditValues:
    kind, deploy = config.serving.audit.kind, config.deploy
    return AuditValues(
        durable=kind == "durable" or (kind is None and config.tier < 3),
        volume_gb=deploy.audit_volume_gb,
        storage_class=deploy.audit_storage_class,
        ship=kind != "off" and config.serving.audit.sink is not None,
    )


def _network(config: RepoConfig) -> NetworkValues:
    deploy = config.deploy
    return NetworkValues(
        callers=deploy.allowed_callers,
        gateway=deploy.gateway_namespace,
        monitoring=deploy.monitoring_namespace,
        egress=egress_of(config),
    )
