"""What `crm diagnose` looks at: Prometheus, releases, journal, and the cluster where it answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.deploy.cluster.kubernetes import Cluster
from carrental_mlops.deploy.observe.diagnose import Page, changes_of, diagnose
from carrental_mlops.deploy.observe.prometheus import Prometheus
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands
from carrental_mlops.deploy.observe.suspects import Happening, ThenAndNow
from carrental_mlops.deploy.releases.journal import Journal
from carrental_mlops.deploy.releases.store import ReleaseStore
from carrental_mlops.errors import CrmError

DEADLINE_S = 15.0
"""Longest that the page takes (seconds), whatever does not answer."""


def page_of(
    repo: ModelRepo,
    env: str | None,
    since: float,
    prometheus: str | None = None,
    deadline_s: float = DEADLINE_S,
) -> Page:
    """The diagnosis of the repo's service in `env`; what does not answer is said on the page and left out.

    The releases and the cluster have half of the time, together; Prometheus has the rest.

    Args:
        repo: as `env` sees it.
        env: environment; None for the first.
        since: when it was well (seconds since 1970-01-01 UTC).
        prometheus: URL; None: `watch.prometheus` of crm.yaml.
        deadline_s: longest that it takes (seconds).
    """
    until = time.monotonic() + deadline_s
    config, name = repo.config, env or repo.config.local
    began, place = datetime.fromtimestamp(since, UTC), config.deploy.releases
    looks = [
        _Look(
            "where releases are kept",
            lambda: changes_of(ReleaseStore(repo.root, place), Journal(repo.root, place, name), name, began),
        )
    ]
    if name != config.local:
        cluster = Cluster(config.deploy.namespace, config.deploy.context)
        looks.append(_Look("the cluster", lambda: _of_cluster(cluster, config.service, began)))
    asked = ThenAndNow(Prometheus(prometheus or config.watch.prometheus, until), Queries.of(config), since, time.time())
    half = time.monotonic() + deadline_s / 2
    told = [look.told(half) for look in looks]
    changes = [change for found, _ in told for change in found]
    unknown = tuple(missed for _, missed in told if missed)
    return diagnose(config, asked, Commands.of(config, name), changes, unknown)


class _Look(threading.Thread):
    """Asks one place for what changed; one that does not answer is left behind."""

    def __init__(self, place: str, changes: Callable[[], list[Happening]]) -> None:
        super().__init__(name=place, daemon=True)
        self._changes, self._began = changes, time.monotonic()
        self._found: list[Happening] | Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._found = self._changes()
        except Exception as error:  # raised again in `told`
            self._found = error

    def told(self, until: float) -> tuple[list[Happening], str]:
        """What changed, or why it cannot be said; waits until `until` (`time.monotonic`)."""
        self.join(max(0.0, until - time.monotonic()))
        found = self._found
        if found is None:
            return [], f"{self.name} does not answer within {until - self._began:.0f} s"
        if isinstance(found, CrmError):
            return [], found.what
        if isinstance(found, Exception):
            raise found
        return found, ""


def _of_cluster(cluster: Cluster, service: str, since: datetime) -> list[Happening]:
    """What the cluster itself warned of: crashes, images that are not there, pods that find no node."""
    found: dict[tuple[str, str], Happening] = {}
    for event in cluster.list("v1", "Event", fields={"type": "Warning"}):
        involved, at = event.get("involvedObject") or {}, _at(event)
        if at is None or at < since or not str(involved.get("name", "")).startswith(service):
            continue
        what = (
            f"{event.get('reason')} of {involved.get('kind')} {involved.get('name')}: {event.get('message', '')[:200]}"
        )
        key = (str(event.get("reason")), str(involved.get("kind")))
        if key not in found or found[key].at < at:
            found[key] = Happening(at, what, "cluster")
    return list(found.values())


def _at(event: dict[str, Any]) -> datetime | None:
    said = event.get("lastTimestamp") or event.get("eventTime") or event.get("metadata", {}).get("creationTimestamp")
    if isinstance(said, datetime):
        return said
    return datetime.fromisoformat(str(said)) if said else None
