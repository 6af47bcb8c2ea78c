"""What a service may reach, as its NetworkPolicy says: the addresses that crm.yaml names, and no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from pydantic import Field

from carrental_mlops.config import RepoConfig
from carrental_mlops.config.frozen import Frozen
from carrental_mlops.deploy.manifests.pod_roles import made_by_infra

_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "kafka": 9092}
_OF_ROWS = {**_PORTS, "s3": 443, "postgresql": 5432, "postgres": 5432, "mysql": 3306, "mariadb": 3306}
REDIS_SECRET = "redis-url"  # noqa: S105  # the name of a secret
"""File name in `deploy.secrets.names` that holds the URL of the online store."""


class Egress(Frozen):
    """One way out."""

    port: int = Field(ge=1, le=65535)
    namespace: str | None = None
    """Pods of this namespace; unset: addresses outside the cluster."""
    purpose: str


def egress_of(config: RepoConfig) -> tuple[Egress, ...]:
    """Ways out that the service needs, in order and each once. DNS is not among them: every pod has it."""
    return _ways(_urls(config), config.deploy.namespace)


def batch_egress_of(config: RepoConfig) -> tuple[Egress, ...]:
    """Ways out that the batch job needs: the registry, ZenML, the online store, and what the steps name."""
    return _ways(_batch_urls(config), config.deploy.namespace)


def _ways(urls: Iterable[tuple[str, str]], own: str) -> tuple[Egress, ...]:
    found: dict[tuple[int, str | None], Egress] = {}
    for purpose, url in urls:
        parts = urlsplit(url)
        scheme = parts.scheme.partition("+")[0]
        bucket = scheme == "s3"
        port = (None if bucket else parts.port) or _OF_ROWS.get(scheme, 443)
        for namespace in (None,) if bucket else _namespaces(parts.hostname or "", own):
            found.setdefault((port, namespace), Egress(port=port, namespace=namespace, purpose=purpose))
    return tuple(found[key] for key in sorted(found, key=lambda key: (key[0], key[1] or "")))


def _urls(config: RepoConfig) -> Iterator[tuple[str, str]]:
    serving, deploy = config.serving, config.deploy
    if serving.features.feast_url:
        yield "features", serving.features.feast_url
    if serving.features.source == "store" or deploy.nodes:
        yield from _online(config)
    for node in deploy.nodes:
        for value in node.settings.values():
            if isinstance(value, str) and value.split("://")[0] in _PORTS:
                yield f"node {node.name}", value
    if serving.audit.sink:
        yield "audit", serving.audit.sink
    if serving.traces.endpoint:
        yield "traces", serving.traces.endpoint
    if serving.auth.kind == "oidc" and (issuer := serving.auth.jwks_url or serving.auth.issuer):
        yield "keys of the issuer", issuer
    if deploy.aws.role_arn or made_by_infra(config):
        yield "AWS", _sts(config)


def _batch_urls(config: RepoConfig) -> Iterator[tuple[str, str]]:
    for purpose, url in (("registry", config.mlflow.tracking_uri), ("ZenML", config.zenml.server)):
        if url and url.split("://")[0] in _PORTS:
            yield purpose, url
    yield from _online(config)
    steps = [config.steps, *(values.steps for values in config.pipelines.values())]
    for slot, values in ((slot, values) for one in steps for slot, values in one.items()):
        for value in values.values():
            if isinstance(value, str) and value.partition("://")[0].partition("+")[0] in _OF_ROWS:
                yield f"step {slot}", value
    if config.deploy.batch and (config.deploy.batch.role_arn or made_by_infra(config)):
        yield "AWS", _sts(config)


def _online(config: RepoConfig) -> Iterator[tuple[str, str]]:
    if config.feast.online:
        yield "features", config.feast.online
    elif REDIS_SECRET in config.deploy.secrets.names:
        yield "features", "rediss://outside.example.com"


def _sts(config: RepoConfig) -> str:
    return f"https://sts.{config.deploy.aws.region}.amazonaws.com"


def _namespaces(host: str, own: str) -> tuple[str | None, ...]:
    """Where `host` may be: a Service is `name`, `name.namespace` or `name.namespace.svc…`; two parts may be either."""
    parts = host.split(".")
    if len(parts) == 1:
        return (own,)
    if len(parts) > 2 and parts[2] == "svc":
        return (parts[1],)
    return (parts[1], None) if len(parts) == 2 else (None,)
