"""A release into the cluster, and back: one at a time, the same command twice does it once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from carrental_mlops.deploy.cluster.apply import (
    Say,
    changes,
    close_unfinished,
    make_namespace,
    put,
    tag,
    try_objects,
    wait_for,
)
from carrental_mlops.deploy.cluster.lease import alone
from carrental_mlops.deploy.cluster.site import Running, Site
from carrental_mlops.deploy.diff.objects import ObjectChange
from carrental_mlops.deploy.manifests import helm, labels
from carrental_mlops.deploy.manifests.values import Values, as_now, digest_of
from carrental_mlops.deploy.releases.draft import Draft, same_content
from carrental_mlops.deploy.releases.release import Release, Stored
from carrental_mlops.errors import ConfigError

WAIT_S = 600.0
"""How long a release may take to become available (seconds)."""


@dataclass(frozen=True)
class DeployOutcome:
    """What a command came to."""

    release: Release
    did: Literal["deployed", "went on", "nothing", "rolled back", "tried"]
    """`went on`: finished what an earlier command began; `nothing`: it ran already; `tried`: a dry run."""
    changes: tuple[ObjectChange, ...] = ()
    """Of a dry run: what would change in the cluster."""
    available: bool = False
    """Whether its pods were seen to be ready."""


def try_out(site: Site, draft: Draft) -> DeployOutcome:
    """What `deploy` would do, asked of the cluster; nothing is written anywhere.

    Raises:
        GateRefused: the evidence does not carry it.
        ConfigError: the cluster refuses an object.
        PlatformError: the cluster cannot be reached.
    """
    draft.refuse()
    running, newest = site.running(), site.store.newest(site.env)
    if newest and _runs(site, newest, running) and _is_same(site, draft, running, newest):
        return DeployOutcome(newest.release, "nothing")
    made = _make(site, draft, running)(site.store.next_id(site.env))
    return DeployOutcome(made.release, "tried", tuple(changes(site, made, newest)))


def deploy(site: Site, draft: Draft, say: Say, wait_s: float | None = None) -> DeployOutcome:
    """The release of `draft`, in the cluster; the same again goes on with what was left, or does nothing.

    Args:
        site: where.
        draft: what.
        say: shows progress, a line a call.
        wait_s: how long to wait until it is available (seconds); None: not at all.

    Raises:
        GateRefused: the evidence does not carry it.
        ConfigError: the cluster refuses an object, before anything was changed; or Helm does: recorded as failed.
        PlatformError: somebody else deploys; the cluster went away: says in which state, and the same command goes on;
            or the release is not available in time: recorded as failed.
    """
    draft.refuse()
    make_namespace(site.cluster)
    by = draft.wanted.by
    with alone(site.cluster, site.service, by) as held:
        running, newest = site.running(), site.store.newest(site.env)
        stored, did = _left(site, draft, running, newest, say)
        if stored is None:
            make = _make(site, draft, running)
            try_objects(site, make(site.store.next_id(site.env)).manifests, say)
            close_unfinished(site, newest, by, say)
            stored = site.store.add(site.env, make)
        if did != "nothing":
            put(site, stored, by, held, say)
        if wait_s is not None and (did != "nothing" or site.store.state(stored.release.id) != "available"):
            wait_for(site, stored, by, wait_s, say)
    tag(site, stored.release, say)
    return DeployOutcome(stored.release, did, available=site.store.state(stored.release.id) == "available")


def rollback(
    site: Site, by: str, say: Say, to: str | None = None, wait_s: float | None = None, dry_run: bool = False
) -> DeployOutcome:
    """Model and configuration of an earlier release, as a new one; asks neither registry nor evidence.

    Its pods bear the label of that earlier release, so that those that still stand answer at once.

    Args:
        site: where.
        by: who.
        say: shows progress, a line a call.
        to: id of the release to go back to; None: the champion where another is tried beside it, else the one before.
            Right after a rollback None goes no further back.
        wait_s: as for `deploy`.
        dry_run: only say what would change.

    Raises:
        ConfigError: there is nothing to go back to.
        PlatformError: as for `deploy`.
    """
    running, newest = site.running(), site.store.newest(site.env)
    target = _origin(site, site.store.get(to) if to else _before(site, running, newest))
    make = _made_again(site, target, by, running)
    if target.release.chart != helm.chart_version():
        say(f"{target.release.id} was made by chart {target.release.chart}; now it is {helm.chart_version()}")
    if dry_run:
        made = make(site.store.next_id(site.env))
        return DeployOutcome(made.release, "tried", tuple(changes(site, made, newest)))
    with alone(site.cluster, site.service, by) as held:
        if newest is None or newest.values != make(newest.release.id).values:
            close_unfinished(site, newest, by, say)
            newest = site.store.add(site.env, make)
        there = _runs(site, newest, running)
        if there:
            say(f"{newest.release.id} runs already: nothing to do")
        else:
            put(site, newest, by, held, say)
        if wait_s is not None and site.store.state(newest.release.id) != "available":
            wait_for(site, newest, by, wait_s, say)
    tag(site, newest.release, say)
    available = site.store.state(newest.release.id) == "available"
    return DeployOutcome(newest.release, "nothing" if there else "rolled back", available=available)


def alone_in(stored: Stored) -> dict[str, Any]:
    """The values of `stored` with its own release as the only champion."""
    own = next(
        one for one in stored.values["tracks"] if one["release"] == (stored.release.content_of or stored.release.id)
    )
    track = {**own, "name": labels.CHAMPION, "share": 100, "minimum": stored.values["autoscale"]["minimum"]}
    return {**stored.values, "tracks": [track]}


def _left(
    site: Site, draft: Draft, running: Running | None, newest: Stored | None, say: Say
) -> tuple[Stored | None, Literal["deployed", "went on", "nothing"]]:
    """The newest release where it is what `draft` asks for, and what is left to do with it."""
    if newest is None or not _is_same(site, draft, running, newest):
        return None, "deployed"
    if _runs(site, newest, running):
        say(f"{newest.release.id} runs already: nothing to do")
        return newest, "nothing"
    say(f"going on with {newest.release.id}, which was left {site.store.state(newest.release.id) or 'before it began'}")
    return newest, "went on"


def _is_same(site: Site, draft: Draft, running: Running | None, newest: Stored) -> bool:
    again = _make(site, draft, running, newest)(newest.release.id)
    if same_content(newest, again):
        return True
    promoted = running is not None and list(running.tracks.values()) == [newest.release.id]
    return promoted and same_content(newest.model_copy(update={"values": alone_in(newest)}), again)


def _runs(site: Site, stored: Stored, running: Running | None) -> bool:
    """Whether Helm holds just this release, whole."""
    if running is None or running.status != "deployed":
        return False
    tracks = list(running.values["tracks"])
    same = tracks == list(stored.values["tracks"]) or tracks == alone_in(stored)["tracks"]
    return same and site.store.state(stored.release.id) in ("applied", "available")


def _make(site: Site, draft: Draft, running: Running | None, again: Stored | None = None) -> Callable[[str], Stored]:
    """What makes the release of an id; `again`: the same as that one, if it is asked for once more."""
    champion = running.tracks.get(labels.CHAMPION) if running else None
    here = again.release.id if again else None
    beside = site.release(champion) if draft.alongside and champion and champion != here else None
    before = again.release.before if again else champion

    def make(name: str) -> Stored:
        return draft.stored(name, beside, before, datetime.now(UTC))

    return make


def _made_again(site: Site, target: Stored, by: str, running: Running | None) -> Callable[[str], Stored]:
    values = as_now(alone_in(target))
    objects = helm.render(values, site.service, site.cluster.namespace)

    def make(name: str) -> Stored:
        changed = {
            "id": name,
            "by": by,
            "at": datetime.now(UTC),
            "before": running.newest if running else None,
            "content_of": target.release.id,
            "chart": helm.chart_version(),
            "values_digest": digest_of(Values.model_validate(values)),
        }
        release = target.release.model_copy(update=changed)
        return Stored(release=release, config=target.config, values=values, manifests=objects)

    return make


def _before(site: Site, running: Running | None, newest: Stored | None) -> Stored:
    """What a rollback with no name goes back to."""
    if newest is None:
        raise ConfigError(f"nothing was released in {site.env}", f"crm deploy --env {site.env}")
    if newest.release.content_of:
        return newest
    champion = running.tracks.get(labels.CHAMPION) if running else None
    if running and len(running.tracks) > 1 and champion:
        return site.store.get(champion)
    found = newest.release if champion is None else site.release(champion)
    while found.before:
        found = site.release(found.before)
        if site.store.state(found.id) in ("applied", "available"):
            return site.store.get(found.id)
    raise ConfigError(f"{newest.release.id} has no release before it that ran", f"crm release list --env {site.env}")


def _origin(site: Site, stored: Stored) -> Stored:
    """The release whose content it is, where it is a rollback itself."""
    return site.store.get(stored.release.content_of) if stored.release.content_of else stored
