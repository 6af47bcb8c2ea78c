"""Logs of all pods of a service as one."""

from __future__ import annotations

import heapq
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from carrental_mlops.deploy.cluster.site import Pod, Site
from carrental_mlops.errors import ConfigError, CrmError


@dataclass(frozen=True)
class LogQuery:
    """Which lines."""

    since_s: int | None
    """Only of the last seconds."""
    follow: bool
    track: str | None
    container: str | None
    last: int | None
    """Only that many of each container."""


@dataclass(frozen=True)
class Line:
    """One line."""

    time: str
    """UTC, as the node wrote it."""
    pod: str
    container: str
    text: str

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return dict(vars(self))


def lines(site: Site, asked: LogQuery) -> Iterator[Line]:
    """Lines of the service's pods: oldest first, or as they come with `follow`.

    Raises:
        ConfigError: there is no such pod or container.
        PlatformError: the cluster cannot be reached.
    """
    pods = [pod for pod in site.pods() if asked.track in (None, pod.track)]
    sources = [(pod, name) for pod in pods for name in pod.containers if asked.container in (None, name)]
    if not sources:
        what = " ".join(filter(None, [asked.track, asked.container])) or "pod"
        raise ConfigError(f"{site.service} has no {what} in {site.cluster.namespace}", f"crm status --env {site.env}")
    each = [_of(site, asked, pod, name) for pod, name in sources]
    return _as_they_come(each) if asked.follow else heapq.merge(*each, key=lambda line: line.time)


def _of(site: Site, asked: LogQuery, pod: Pod, container: str) -> Iterator[Line]:
    for line in site.cluster.logs(pod.name, container, asked.since_s, asked.follow, asked.last):
        time, _, text = line.partition(" ")
        yield Line(time, pod.name, container, text)


def _as_they_come(each: list[Iterator[Line]]) -> Iterator[Line]:
    found: queue.Queue[Line | CrmError | None] = queue.Queue()

    def read(one: Iterator[Line]) -> None:
        try:
            for line in one:
                found.put(line)
        except CrmError as error:
            found.put(error)
        else:
            found.put(None)

    for one in each:
        threading.Thread(target=read, args=(one,), name="crm-logs", daemon=True).start()
    ended = 0
    while ended < len(each):
        line = found.get()
        if isinstance(line, CrmError):
            raise line
        if line is None:
            ended += 1
        else:
            yield line
