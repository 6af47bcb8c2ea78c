"""What `crm diagnose` looks at: Prometheus, releases, journal, and the cluster where it answers."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.deploy.cluster.kubernetes import Cluster
from carrental_mlops.deploy.observe.diagnose import Page, changes_of, diagnose
from carrental_mlops.deploy.observe.prometheus import Prometheus
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands
from carrental_mlops.deploy.observe.suspects import Asked, Change
from carrental_mlops.deploy.releases.journal import Journal
from carrental_mlops.deploy.releases.store import ReleaseStore
from carrental_mlops.errors import CrmError


def page_of(repo: ModelRepo, env: str | None, since: float, prometheus: str | None = None) -> Page:
    """The diagnosis of the repo's service in `env`; what does not answer is said on the page and left out.

    Args:
        repo: as `env` sees it.
        env: environment; None for the first.
        since: when it was well (seconds since 1970-01-01 UTC).
        prometheus: URL; None: `watch.prometheus` of crm.yaml.
    """
    config, name = repo.config, env or repo.config.environments[0]
    began, unknown, changes = datetime.fromtimestamp(since, UTC), [], list[Change]()
    try:
        place = config.deploy.releases
        changes += changes_of(ReleaseStore(repo.root, place), Journal(repo.root, place, name), name, began)
    except CrmError as error:
        unknown.append(error.what)
    if name != config.environments[0]:
        try:
            changes += _of_cluster(Cluster(config.deploy.namespace, config.deploy.context), config.service, began)
        except CrmError as error:
            unknown.append(error.what)
    url = prometheus or config.watch.prometheus
    asked = Asked(Prometheus(url), Queries.of(config), since, time.time())
    return diagnose(config, asked, Commands.of(config, name), changes, tuple(unknown))


def _of_cluster(cluster: Cluster, service: str, since: datetime) -> list[Change]:
    """What the cluster itself warned of: crashes, images that are not there, pods that find no node."""
    found: dict[tuple[str, str], Change] = {}
    for event in cluster.list("v1", "Event", fields={"type": "Warning"}):
        involved, at = event.get("involvedObject") or {}, _at(event)
        if at is None or at < since or not str(involved.get("name", "")).startswith(service):
            continue
        what = (
            f"{event.get('reason')} of {involved.get('kind')} {involved.get('name')}: {event.get('message', '')[:200]}"
        )
        key = (str(event.get("reason")), str(involved.get("kind")))
        if key not in found or found[key].at < at:
            found[key] = Change(at, what, "cluster")
    return list(found.values())


def _at(event: dict[str, Any]) -> datetime | None:
    said = event.get("lastTimestamp") or event.get("eventTime") or event.get("metadata", {}).get("creationTimestamp")
    if isinstance(said, datetime):
        return said
    return datetime.fromisoformat(str(said)) if said else None
