"""`crm switch`: what answers instead of the model, written where the service looks, in seconds and with no deploy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.deploy.cluster.kubernetes import Cluster
from carrental_mlops.deploy.manifests import labels
from carrental_mlops.deploy.observe.prometheus import Prometheus, matching
from carrental_mlops.deploy.releases.journal import Journal, JournalEntry
from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.files import whole_file
from carrental_mlops.serving.switch import LOCAL, Order

KEY = "switch.json"
"""Of the ConfigMap `<service>-switch`, and the file that it is in the container."""
TOUCHED = labels.SWITCHED_AT
"""Annotation of pods: a change of it has the kubelet bring the ConfigMap up to date at once, not within its minute.

Source: Kubernetes documentation, Configure a Pod to Use a ConfigMap, "Mounted ConfigMaps are updated automatically".
"""
_EMPTY = "{}\n"


class Place(Protocol):
    """Where a service reads its switch."""

    def read(self) -> str:
        """What is there; `{}` where nothing is."""
        ...

    def write(self, text: str) -> None:
        """Put `text` there.

        Raises:
            PlatformError: it could not be written; what was there is there still.
        """
        ...


@dataclass(frozen=True)
class LocalPlace:
    """The file of a service that runs from the repo at `root`."""

    root: Path

    def read(self) -> str:
        """What the file holds."""
        file = self.root / LOCAL
        return file.read_text() if file.is_file() else _EMPTY

    def write(self, text: str) -> None:
        """The file, whole."""
        with whole_file(self.root / LOCAL) as draft:
            draft.write_text(text)


@dataclass(frozen=True)
class ClusterPlace:
    """The ConfigMap that every pod of `service` mounts."""

    cluster: Cluster
    service: str

    def read(self) -> str:
        """What the ConfigMap holds."""
        found = self.cluster.get("v1", "ConfigMap", f"{self.service}-switch")
        return str(((found or {}).get("data") or {}).get(KEY, _EMPTY))

    def write(self, text: str) -> None:
        """The ConfigMap, and a touch of each pod that has the kubelet hand it on now."""
        ours = {labels.NAME: self.service, labels.MANAGED_BY: labels.MANAGER}
        metadata = {"name": f"{self.service}-switch", "namespace": self.cluster.namespace, "labels": ours}
        self.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: text}})
        for pod in self.cluster.list("v1", "Pod", {labels.NAME: self.service}):
            self._touch(str(pod["metadata"]["name"]))

    def _touch(self, pod: str) -> None:
        at = datetime.now(UTC).isoformat()
        named = {"name": pod, "namespace": self.cluster.namespace, "annotations": {TOUCHED: at}}
        with suppress(ConfigError):  # a pod that went meanwhile
            self.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": named})


@dataclass(frozen=True)
class Switching:
    """The switch of one service in one environment.

    Args:
        place: where the service looks.
        journal: told of every change.
        prometheus: says whether the pods have switched; None for a service on this machine.
    """

    place: Place
    journal: Journal
    prometheus: Prometheus | None = None

    @classmethod
    def of(cls, repo: ModelRepo, env: str | None) -> Switching:
        """That of `repo` in `env`; the first environment is this machine."""
        config, name = repo.config, env or repo.config.local
        journal = Journal(repo.root, config.deploy.releases, name)
        if name == config.local:
            return cls(LocalPlace(repo.root), journal)
        cluster = Cluster(config.deploy.namespace, config.deploy.context)
        return cls(ClusterPlace(cluster, config.service), journal, Prometheus(config.watch.prometheus))

    def now(self) -> Order | None:
        """What is ordered and has not ended.

        Raises:
            ConfigError: what is there is no order.
        """
        try:
            order = Order.parsed(self.place.read())
        except ValueError as error:
            what = f"the switch is broken, so the service ignores it: {error}"
            raise ConfigError(what, "crm switch SERVICE --off --reason …") from error
        return order if order and order.until > datetime.now(UTC) else None

    def on(self, order: Order) -> JournalEntry | None:
        """Switch; None where just this is ordered already.

        Raises:
            ConfigError: its end has passed.
            PlatformError: it could not be written.
        """
        if order.until <= datetime.now(UTC):
            raise ConfigError(f"--until {order.until:%Y-%m-%dT%H:%MZ} has passed", "name a time to come: --until 2h")
        if self.place.read() == order.text():
            return None
        self.place.write(order.text())
        said = f"{order.to} answers until {order.until:%Y-%m-%dT%H:%MZ}: {order.reason}"
        return self.journal.write("switch.on", order.by, said, data=json.loads(order.text()))

    def off(self, by: str, reason: str) -> JournalEntry | None:
        """The model answers again; None where no switch is on.

        Raises:
            PlatformError: it could not be written.
        """
        if self.place.read().strip() in ("", "{}"):
            return None
        self.place.write(_EMPTY)
        return self.journal.write("switch.off", by, f"the model answers again: {reason}")


def confirmed(
    prometheus: Prometheus, labels: dict[str, str], to: str | None, seconds: float, say: Callable[[str], None]
) -> bool | None:
    """Whether every pod says that `to` answers (None: that the model does); None where Prometheus cannot be asked.

    Args:
        prometheus: scrapes the pods.
        labels: of the service's series.
        to: of the order.
        seconds: how long to wait for it.
        say: shows progress.
    """
    ends = time.monotonic() + seconds
    while True:
        try:
            found = prometheus.vector("crm_switched" + matching(labels))
        except PlatformError as error:
            say(f"whether the pods have switched is not known: {error.what}")
            return None
        on: dict[Any, set[str]] = {}
        for sample in found:
            pod = sample.labels.get("pod") or sample.labels.get("instance")
            on.setdefault(pod, set()).update({sample.labels["to"]} if sample.value else ())
        done = sum(now == ({to} if to else set()) for now in on.values())
        if on and done == len(on):
            say(f"all {done} pods have switched")
            return True
        if time.monotonic() > ends:
            say(f"{done} of {len(on)} pods have switched")
            return False
        time.sleep(1)
