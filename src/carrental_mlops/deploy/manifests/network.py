"""What a service may reach, as its NetworkPolicy says: the addresses that crm.yaml names, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic import Field

from carrental_mlops.config import RepoConfig
from carrental_mlops.config.frozen import Frozen

_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "kafka": 9092}
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
    found: dict[tuple[int, str | None], Egress] = {}
    for purpose, url in _urls(config):
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 443)
        for namespace in _namespaces(parts.hostname or "", config.deploy.namespace):
            found.setdefault((port, namespace), Egress(port=port, namespace=namespace, purpose=purpose))
    return tuple(found[key] for key in sorted(found, key=lambda key: (key[0], key[1] or "")))


def _urls(config: RepoConfig) -> Iterator[tuple[str, str]]:
    serving, deploy = config.serving, config.deploy
    if serving.features.feast_url:
        yield "features", serving.features.feast_url
    if serving.features.source == "store" or deploy.nodes:
        if config.feast.online:
            yield "features", config.feast.online
        elif REDIS_SECRET in deploy.secrets.names:
            yield "features", "rediss://outside.example.com"
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
    if deploy.aws.role_arn:
        yield "AWS", f"https://sts.{deploy.aws.region}.amazonaws.com"


def _namespaces(host: str, own: str) -> tuple[str | None, ...]:
    """Where `host` may be: a Service is `name`, `name.namespace` or `name.namespace.svc…`; two parts may be either."""
    parts = host.split(".")
    if len(parts) == 1:
        return (own,)
    if len(parts) > 2 and parts[2] == "svc":
        return (parts[1],)
    return (parts[1], None) if len(parts) == 2 else (None,)
