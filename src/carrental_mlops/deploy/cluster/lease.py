"""One deployment of a service at a time, by a Lease in the cluster that whoever is at it renews.

Source: Kubernetes API reference, `coordination.k8s.io/v1` Lease, and how client-go's leader election takes one over:
only after its renewal was seen to stand still.
"""

from __future__ import annotations

import copy
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from carrental_mlops.deploy.cluster.kubernetes import Cluster
from carrental_mlops.deploy.manifests import labels
from carrental_mlops.errors import PlatformError

LASTS_S, RENEWED_S = 30, 5.0
_KIND = ("coordination.k8s.io/v1", "Lease")


@contextmanager
def alone(cluster: Cluster, service: str, by: str) -> Iterator[Callable[[], bool]]:
    """Nobody else deploys `service` inside the block; gives a function that says whether that still holds.

    Args:
        cluster: of the service's namespace.
        service: name.
        by: who, for whoever else tries.

    Raises:
        PlatformError: somebody else is at it (retryable), or the cluster cannot be reached.
    """
    holder = f"{by} on {socket.gethostname()}, process {os.getpid()}"
    lease, ended, lost = _taken(cluster, f"crm-deploy-{service}", holder), threading.Event(), threading.Event()

    def renew() -> None:
        held, renewed = lease, time.monotonic()
        while not ended.wait(RENEWED_S):
            try:
                now = cluster.replace(_with(held, renewTime=_now()))
            except PlatformError:
                if time.monotonic() - renewed > LASTS_S:
                    lost.set()
                    return
                continue
            if now is None:
                lost.set()
                return
            held, renewed = now, time.monotonic()

    thread = threading.Thread(target=renew, name="crm-lease", daemon=True)
    thread.start()
    try:
        yield lambda: not lost.is_set()
    finally:
        ended.set()
        thread.join(timeout=LASTS_S)
        _given_back(cluster, lease["metadata"]["name"], holder)


def _taken(cluster: Cluster, name: str, holder: str) -> dict[str, Any]:
    now = _now()
    spec = {"holderIdentity": holder, "leaseDurationSeconds": LASTS_S, "acquireTime": now, "renewTime": now}
    api, kind = _KIND
    found = cluster.get(api, kind, name)
    if found is None:
        metadata = {"name": name, "namespace": cluster.namespace, "labels": {labels.MANAGED_BY: labels.MANAGER}}
        taken = cluster.create({"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec})
    elif found["spec"].get("holderIdentity") and not _abandoned(cluster, found):
        raise _busy(name, found["spec"])
    else:
        taken = cluster.replace(_with(found, **spec))
    if taken is None:
        raise _busy(name, (cluster.get(api, kind, name) or {}).get("spec", {}))
    return taken


def _abandoned(cluster: Cluster, found: dict[str, Any]) -> bool:
    """Past its time by our clock, and not renewed while we look: clocks differ."""
    renewed = datetime.fromisoformat(found["spec"]["renewTime"])
    if (datetime.now(UTC) - renewed).total_seconds() < found["spec"]["leaseDurationSeconds"]:
        return False
    time.sleep(1.5 * RENEWED_S)
    again = cluster.get(*_KIND, found["metadata"]["name"])
    return again is not None and again["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]


def _given_back(cluster: Cluster, name: str, holder: str) -> None:
    try:
        found = cluster.get(*_KIND, name)
        if found and found["spec"].get("holderIdentity") == holder:
            cluster.replace(_with(found, holderIdentity=""))
    except PlatformError:
        return  # the cluster is away: the lease ends by itself


def _busy(name: str, spec: dict[str, Any]) -> PlatformError:
    return PlatformError(
        f"{name}: {spec.get('holderIdentity') or 'somebody'} has been deploying since {spec.get('acquireTime', 'now')}",
        f"wait for it to end; if it was killed, its lease ends {LASTS_S} s after its last sign of life",
        retryable=True,
    )


def _with(lease: dict[str, Any], **spec: Any) -> dict[str, Any]:
    changed = copy.deepcopy(lease)
    changed["spec"] |= spec
    return changed


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
