"""A rule of deployment: outside the first environment every store is reached over TLS, and its name is verified."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.manifests.policy import PolicyBreach
from carrental_mlops.errors import ConfigError, shown_url

_PLAIN: Mapping[str, str] = {"redis": "rediss", "http": "https", "ws": "wss", "ftp": "sftp", "amqp": "amqps"}
"""Schemes without TLS, each with the one that has it."""
_POSTGRES, _MYSQL = ("postgresql", "postgres"), ("mysql", "mariadb")
_UNVERIFIED = {
    "ssl_cert_reqs": ("none", "optional"),
    "ssl_check_hostname": ("false", "0"),
    "verify": ("false", "0"),
    "tls_insecure": ("true", "1"),
    "ssl_verify_cert": ("false", "0"),
}
"""Parameters of a URL that turn verification off."""
_INSIDE = re.compile(r"(^|\.)(localhost|svc|svc\.cluster\.local|cluster\.local)$|^127\.|^\[?::1\]?$")
_URL = re.compile(r"^[a-z][a-z0-9+.]*://", re.IGNORECASE)
_MESHED = ("serving.traces.endpoint", "watch.")
"""Keys, or beginnings of keys, that stand for figures and traces alone: plain is allowed inside the cluster."""


def plain_urls(config: RepoConfig, env: str) -> list[PolicyBreach]:
    """URLs of `config` that reach a store without TLS, or with a certificate that nobody verifies.

    Redis, Kafka, PostgreSQL, MySQL, OpenSearch (`serving.audit.sink`), MLflow, ZenML and every other URL of crm.yaml,
    steps' settings too. In the first environment, this machine, none is wrong.

    Args:
        config: as of `env`.
        env: an environment of `config`.

    Returns:
        One finding a key, its URL without a password; empty where all is well.
    """
    if env == config.local:
        return []
    found = []
    for key, url in _urls(config.model_dump(mode="json"), ""):
        if wrong := _wrong(key, url):
            found.append(PolicyBreach("plain-url", key, f"{shown_url(url)}: {wrong}"))
    return found


def hold_tls(config: RepoConfig, env: str) -> None:
    """Refuse a configuration that reaches a store without verified TLS; in the first environment none is refused.

    Raises:
        ConfigError: names every key, its URL without a password, and what to write instead.
    """
    if found := plain_urls(config, env):
        keys = ", ".join(finding.object for finding in found)
        raise ConfigError("\n".join(map(str, found)), f"mend {keys} in config/{env}.yaml, or where `--set` says it")


def _urls(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _urls(inner, f"{at}.{key}" if at else str(key))
    elif isinstance(value, (list, tuple)):
        for n, inner in enumerate(value):
            yield from _urls(inner, f"{at}[{n}]")
    elif isinstance(value, str) and _URL.match(value):
        yield at, value


def _wrong(key: str, url: str) -> str | None:
    """Why `url` is not allowed, with what to write instead; None where it is."""
    split = urlsplit(url)
    scheme = split.scheme.lower().partition("+")[0]
    asked = {name.lower(): values[-1].lower() for name, values in parse_qs(split.query).items()}
    if key.startswith(_MESHED) and _INSIDE.search(_host(url)):
        return None
    if scheme in _PLAIN:
        return f"is plain; write {_PLAIN[scheme]}://"
    if scheme in _POSTGRES and asked.get("sslmode") != "verify-full":
        return "does not verify the server; add ?sslmode=verify-full&sslrootcert=…"
    if scheme in _MYSQL and not ({"ssl_ca", "ssl-ca"} & set(asked)):
        return "does not verify the server; add ?ssl_ca=…"
    if scheme == "kafka" and "9092" in split.netloc:
        return "is Kafka's plain port; take the TLS listener (9094, 9096 or 9098)"
    if off := [name for name, values in _UNVERIFIED.items() if asked.get(name) in values]:
        return f"turns verification off by {', '.join(off)}; remove it"
    return None


def _host(url: str) -> str:
    """The host, `prometheus.monitoring` counted as a service inside the cluster."""
    host = urlsplit(url).hostname or ""
    return f"{host}.svc" if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)?", host) else host
