"""The running service: what it says of itself over Open Inference Protocol v2."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from carrental_mlops.config.variables import fits_a_header
from carrental_mlops.errors import ConfigError, PlatformError

TOKEN = "CRM_LOADTEST_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable with the bearer token that the service wants."""
_TIMEOUT_S = 10.0
_LOCAL = ("127.0.0.1", "localhost", "::1")
_MEMORY = re.compile(r"^process_resident_memory_bytes(?:\{[^}]*\})? (\S+)$", re.M)
_CPU = re.compile(r"^process_cpu_seconds_total(?:\{[^}]*\})? (\S+)$", re.M)


@dataclass(frozen=True)
class Field:
    """One field of a request."""

    name: str
    datatype: str
    required: bool


@dataclass(frozen=True)
class Target:
    """One model of one service, as it answered before the test."""

    url: str
    """Without a slash at its end."""
    name: str
    version: str
    digest: str
    """Of the model; empty where the service does not tell it."""
    fields: tuple[Field, ...]
    token: str | None = None
    """Sent as `Authorization: Bearer …`."""

    @property
    def infer_url(self) -> str:
        """Where requests go."""
        return f"{self.url}/v2/models/{self.name}/infer"

    @property
    def on_this_machine(self) -> bool:
        """True where service and load generator share a machine by the URL's host."""
        return urlsplit(self.url).hostname in _LOCAL

    def cpu_seconds(self) -> float | None:
        """CPU time of the service's process until now (s), from its /metrics; None where it does not tell."""
        return self._told(_CPU)

    def memory_bytes(self) -> float | None:
        """Resident memory of the service's process (bytes), from its /metrics; None where it does not tell."""
        return self._told(_MEMORY)

    def _told(self, metric: re.Pattern[str]) -> float | None:
        try:
            found = metric.search(_asked(f"{self.url}/metrics", self.token))
        except (PlatformError, ConfigError):
            return None
        return float(found[1]) if found else None


def token_of(environment: Mapping[str, str]) -> str | None:
    """The token that `CRM_LOADTEST_TOKEN` holds, without the newline of the file that it came from."""
    return environment.get(TOKEN, "").strip() or None


def target_at(url: str, name: str, token: str | None = None) -> Target:
    """The model `name` of the service at `url`.

    Raises:
        ConfigError: `url` is none, no header may hold `token`, or the service has no such model.
        PlatformError: the service is not there, not ready, or does not speak the protocol.
    """
    url = url.rstrip("/")
    if urlsplit(url).username is not None:
        raise ConfigError("the service's address holds a user or password", f"leave it out; {TOKEN} takes a token")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ConfigError(f"{url!r} is no address of a service", "write http://HOST:PORT")
    if token and not fits_a_header(token):
        raise ConfigError("the token holds a character that no header may", f"write one line of ASCII to {TOKEN}")
    _asked(f"{url}/v2/health/ready", token)
    try:
        told: dict[str, Any] = json.loads(_asked(f"{url}/v2/models/{name}", token))
        fields = tuple(
            Field(f["name"], f["datatype"], not f.get("parameters", {}).get("optional", False)) for f in told["inputs"]
        )
        version = str((told.get("versions") or ["unknown"])[-1])
        return Target(url, name, version, told.get("parameters", {}).get("digest", ""), fields, token)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlatformError(
            f"{url}/v2/models/{name} answers something else than a model's metadata: {error!r}",
            "name a service that speaks Open Inference Protocol v2",
        ) from error


def _asked(url: str, token: str | None) -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - target_at lets http and https through
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310
            return str(reply.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            status = error.code
        if status in (401, 403):
            raise ConfigError(f"{url}: {status}, the service wants a token", f"set {TOKEN}") from error
        if status == 404:
            raise ConfigError(f"{url}: 404, the service has no such model", "compare `service` in crm.yaml") from error
        raise PlatformError(f"{url}: {status}, the service is not ready", "see the service's log", True) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise PlatformError(f"no service at {url}: {reason}", "crm serve, or name its address: crm loadtest URL",
                            retryable=True) from error  # fmt: skip
