"""One process at a time in a registry on a server, which offers no lock: a registered model's unique name is the lock.

Who creates `<service>.lock` holds it; everyone else is told that it exists. To let go, the holder renames it to
`<service>.lock.<token>`, whose token nobody else has, and deletes that. A holder that was killed is relieved by the
same rename: it can happen once for a token, so neither a second reliever nor the relieved holder, should it still
live, can take away the lock of whoever came next. The renamed lock of a relieved holder therefore stays.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from carrental_mlops.errors import PlatformError
from carrental_mlops.integrations.mlflow_client import client_for, is_missing
from carrental_mlops.integrations.processes import HOST, PID, has_ended, identity

LEASE_S = 60.0
"""A lock seen unchanged for so long, by the waiting process's own clock, belongs to a process that was killed."""
WAIT_S = 180.0
_TOKEN = "crm.lock"  # noqa: S105 - the name of a tag
_LOG = logging.getLogger("carrental_mlops")


@contextmanager
def registry_lock(
    uri: str, service: str, wait_s: float = WAIT_S, lease_s: float = LEASE_S
) -> Iterator[Callable[[], bool]]:
    """Hold the lock of `service` in the registry at `uri`; gives a function that says whether it is still held.

    A killed holder is relieved at once where it ran on this host, and after `lease_s` where it ran elsewhere. A holder
    that is only slow may be relieved too: it asks before it writes.

    Raises:
        PlatformError: others held it for `wait_s`; retryable.
    """
    lock = _Lock(client_for(uri), f"{service}.lock")
    lock.take(wait_s, lease_s)
    began = time.monotonic()
    try:
        yield lock.held
    finally:
        lock.release(forget=time.monotonic() - began < lease_s / 2)


class _Lock:
    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name, self._token = client, name, secrets.token_hex(8)

    def take(self, wait_s: float, lease_s: float) -> None:
        deadline = time.monotonic() + wait_s
        seen, since = "", time.monotonic()
        while not self._create():
            tags = self._holder()
            if tags.get(_TOKEN, "") != seen:
                seen, since = tags.get(_TOKEN, ""), time.monotonic()
            if seen and (has_ended(tags) or time.monotonic() - since > lease_s):
                _LOG.warning("registry: process %s on %s left %s locked", tags.get(PID), tags.get(HOST), self._name)
                self._rename(seen)
            elif time.monotonic() > deadline:
                raise PlatformError(
                    f"model registry: {self._name} is held by process {tags.get(PID)} on {tags.get(HOST)} "
                    f"for {wait_s:.0f} s",
                    "wait for the other run to end, then repeat this one",
                    retryable=True,
                )
            else:
                time.sleep(random.uniform(0.05, 0.25))  # noqa: S311 - only to fall out of step

    def held(self) -> bool:
        return self._holder().get(_TOKEN) == self._token

    def release(self, forget: bool) -> None:
        if self._rename(self._token) and forget:
            with suppress(Exception):  # it lies under a name of its own, where it is in nobody's way
                self._client.delete_registered_model(f"{self._name}.{self._token}")

    def _create(self) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self._name, tags={**identity(), _TOKEN: self._token})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return self.held()  # a request that the client repeated after its answer was lost
        return True

    def _holder(self) -> Mapping[str, str]:
        from mlflow.exceptions import MlflowException

        try:
            return dict(self._client.get_registered_model(self._name).tags)
        except MlflowException as error:
            if is_missing(error):
                return {}
            raise

    def _rename(self, token: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            self._client.rename_registered_model(self._name, f"{self._name}.{token}")
        except MlflowException as error:
            if is_missing(error) or error.error_code == "RESOURCE_ALREADY_EXISTS":
                return False
            raise
        return True
