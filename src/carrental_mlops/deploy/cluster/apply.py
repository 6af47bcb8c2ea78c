"""Put a stored release into the cluster: tried first, recorded at each step, watched until it is available."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from carrental_mlops.deploy.cluster.kubernetes import Cluster
from carrental_mlops.deploy.cluster.site import Site
from carrental_mlops.deploy.diff.objects import ObjectChange, diff
from carrental_mlops.deploy.manifests import helm, labels
from carrental_mlops.deploy.manifests.values import as_now
from carrental_mlops.deploy.releases.release import Event, Release, State, Stored
from carrental_mlops.deploy.releases.store import tag_model
from carrental_mlops.errors import CrmError, PlatformError
from carrental_mlops.integrations.mlflow_client import database_of, tracking_uri
from carrental_mlops.integrations.mlflow_registry import Registry

_LOOK_S, _STUCK_S, _TAG_S = 2.0, 90.0, 5.0
_SECURE = {"pod-security.kubernetes.io/enforce": "restricted", labels.MANAGED_BY: labels.MANAGER}
Say = Callable[[str], None]


def put(site: Site, stored: Stored, by: str, held: Callable[[], bool], say: Say) -> None:
    """Give `stored` to Helm, with an event before and after.

    Raises:
        ConfigError: Helm or the cluster refuses it; recorded as failed.
        PlatformError: the cluster went away or somebody else took over; the release stays `started`, and the message
            says so.
    """
    name, at = stored.release.id, (site.service, site.cluster.namespace, site.cluster.context)
    record(site, name, "started", by)
    say(f"{name}: helm upgrade {site.service} in {site.cluster.namespace}")
    try:
        _clear_unfinished(site, say)
        values = as_now(stored.values)
        helm.upgrade(helm.chart_dir(), site.service, site.cluster.namespace, values, site.cluster.context)
    except PlatformError as error:
        what = f"{name} is unfinished, some of its objects may be there and others not: {error.what}"
        raise PlatformError(what, _go_on(site), retryable=True) from error
    except CrmError as error:
        record(site, name, "failed", by, error.what)
        error.add_note(f"{name} is recorded as failed; what ran before was not taken away")
        raise
    if not held():
        what = f"{name} is unfinished: the lease was lost, so somebody else may have deployed since"
        raise PlatformError(what, _go_on(site), retryable=True)
    record(site, name, "applied", by, f"revision {helm.revisions(*at)[-1].revision} of Helm")


def wait_for(site: Site, stored: Stored, by: str, seconds: float, say: Say) -> None:
    """Wait until `stored` is available.

    Raises:
        PlatformError: it is not after `seconds`, or a pod is stuck for 90 s: recorded as failed, and left as it is.
    """
    name, began = stored.release.id, time.monotonic()
    try:
        until_available(site, name, stored.values, seconds, say)
    except NotAvailable as error:
        record(site, name, "failed", by, "; ".join(error.missing)[:2000])
        raise
    record(site, name, "available", by, f"after {time.monotonic() - began:.0f} s")
    say(f"{name} is available")


class NotAvailable(PlatformError):
    """A release whose pods are not ready in time, or stuck; `missing` says what is not as its values want it."""

    missing: tuple[str, ...] = ()


def until_available(site: Site, name: str, values: Mapping[str, Any], seconds: float, say: Say) -> None:
    """Wait until the cluster is as the `values` of the release `name` want it.

    Raises:
        NotAvailable: it is not after `seconds`, or a pod is stuck for 90 s.
    """
    began, told, stuck_since = time.monotonic(), "", None
    while missing := site.missing(values):
        now = time.monotonic()
        if missing[0] != told:
            told = missing[0]
            say(f"{name}: {told}")
        stuck_since = (stuck_since or now) if _is_stuck(site, values) else None
        if now - began > seconds or (stuck_since and now - stuck_since > _STUCK_S):
            error = NotAvailable(
                f"{name} is not available after {now - began:.0f} s: {'; '.join(missing[:3])}",
                f"crm logs --env {site.env}, then crm rollback --env {site.env}; pods of the release before go only "
                "as new ones become ready",
            )
            error.missing = tuple(missing)
            raise error
        time.sleep(_LOOK_S)


def try_objects(site: Site, manifests: Sequence[Mapping[str, Any]], say: Say) -> None:
    """A server-side dry run of every object.

    Raises:
        ConfigError: the cluster refuses one; nothing was changed.
    """
    for manifest in manifests:
        site.cluster.dry_run(manifest)
    say(f"dry run: the cluster takes all {len(manifests)} objects")


def changes(site: Site, stored: Stored, before: Stored | None) -> list[ObjectChange]:
    """What `stored` would change in the cluster, by a server-side dry run; nothing is changed.

    Args:
        site: where.
        stored: a release, stored or not.
        before: the newest release, whose objects go where `stored` has them no more.

    Raises:
        ConfigError: the cluster refuses an object.
        PlatformError: it cannot be reached.
    """
    found = [site.cluster.like(manifest) for manifest in stored.manifests]
    wanted = {_key(manifest) for manifest in stored.manifests}
    gone = [site.cluster.like(one) for one in (before.manifests if before else ()) if _key(one) not in wanted]
    return diff([one for one in (*found, *gone) if one], [site.cluster.dry_run(one) for one in stored.manifests])


def make_namespace(cluster: Cluster) -> None:
    """The namespace, with restricted pod security, where it is not there yet.

    Raises:
        PlatformError: the cluster cannot be reached, or forbids it.
    """
    if cluster.get("v1", "Namespace", cluster.namespace) is None:
        cluster.create({"apiVersion": "v1", "kind": "Namespace",
                        "metadata": {"name": cluster.namespace, "labels": _SECURE}})  # fmt: skip


def close_unfinished(site: Site, newest: Stored | None, by: str, say: Say) -> None:
    """Say and record that the newest release was never finished, for another takes its place now."""
    if newest is None or site.store.state(newest.release.id) not in (None, "started"):
        return
    name = newest.release.id
    say(f"{name} by {newest.release.by} was never finished; it is recorded as failed, and replaced")
    record(site, name, "failed", by, "it was never finished, and another release took its place")


def record(site: Site, name: str, state: State, by: str, said: str = "") -> None:
    """Keep an event beside the release of the id `name`."""
    site.store.record(Event(release=name, state=state, at=datetime.now(UTC), by=by, said=said))


def tag(site: Site, release: Release, say: Say) -> None:
    """Write `release` on its model's version; a registry that is away for 5 s is left alone."""
    uri = tracking_uri(site.repo.root, site.repo.config.mlflow.tracking_uri)
    database = database_of(uri)
    if database is not None and not database.is_file():
        say(f"{release.id} stands on no model version: there is no registry here")
        return
    problems: list[str] = ["the registry does not answer"]

    def write() -> None:
        try:
            tag_model(Registry(uri, site.service), release)
            problems.clear()
        except CrmError as error:
            problems[0] = error.what

    thread = threading.Thread(target=write, name="crm-tag", daemon=True)
    thread.start()
    thread.join(timeout=_TAG_S)
    for problem in list(problems):
        say(f"{release.id} is not written on the model version: {problem}")


def _clear_unfinished(site: Site, say: Say) -> None:
    """Remove what a killed Helm left as pending: the lease says that nobody is at it, and Helm itself would wait."""
    found = helm.revisions(site.service, site.cluster.namespace, site.cluster.context)
    if found and found[-1].status.startswith("pending"):
        say(f"revision {found[-1].revision} of Helm was left {found[-1].status} by a process that ended; put again")
        site.cluster.delete("v1", "Secret", f"sh.helm.release.v1.{site.service}.v{found[-1].revision}")


def _is_stuck(site: Site, values: Mapping[str, Any]) -> bool:
    ours = {one["release"] for one in values["tracks"]}
    return any(pod.stuck for pod in site.pods() if pod.track and pod.release in ours)  # the batch job has no track


def _go_on(site: Site) -> str:
    return f"crm status --env {site.env}; once the cluster answers, the same command goes on"


def _key(manifest: Mapping[str, Any]) -> tuple[str, str]:
    return str(manifest["kind"]), str(manifest["metadata"]["name"])
