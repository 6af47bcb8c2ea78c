"""Deployments of one environment with what became of them, from its releases, their events and its journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.manifests.labels import CANARY, CHAMPION, SHADOW
from carrental_mlops.deploy.releases.journal import Journal, JournalEntry
from carrental_mlops.deploy.releases.release import Event, Release, Stored
from carrental_mlops.deploy.releases.store import ReleaseStore
from carrental_mlops.kpi.events import Deployment

_LIVE = ("available", "applied")


@dataclass(frozen=True)
class _Failure:
    release: str
    at: datetime
    restored_at: datetime | None
    why: str


def deployments(root: Path, config: RepoConfig, env: str) -> tuple[Deployment, ...]:
    """Releases of `env` that the cluster was asked for, oldest first, rollbacks among them.

    A deployment has failed where it never became available, its rollout went back, a rollback took over from it, or
    the kill switch was turned on while it was live. A canary is live when its rollout was promoted, any other release
    when it was available, or applied where nobody waited. A shadow answers nobody and is left out.

    Args:
        root: of the model repo.
        config: as `env` sees it.
        env: environment.

    Raises:
        PlatformError: the place of releases cannot be read.
        DataError: a file there is no release, event or entry.
    """
    store = ReleaseStore(root, config.deploy.releases)
    journal = Journal(root, config.deploy.releases, env).entries()
    stored = list(reversed(store.releases(env)))
    events = {one.release.id: store.events(one.release.id) for one in stored}
    begun = [
        _deployment(one, events[one.release.id], journal)
        for one in stored
        if events[one.release.id] and _track(one) != SHADOW
    ]
    releases = {one.release.id: one.release for one in stored}
    failures: dict[str, _Failure] = {}
    for failure in (*_never(begun, events), *_gone_back(begun, journal), *_taken_back(begun, releases),
                    *_switched(begun, releases, journal)):  # fmt: skip
        failures.setdefault(failure.release, failure)
    return tuple(_with(one, failures.get(one.id)) for one in begun)


def _deployment(stored: Stored, events: Sequence[Event], journal: Sequence[JournalEntry]) -> Deployment:
    release = stored.release
    first = next((one.at for one in events if one.state in _LIVE), None)
    if _track(stored) == CANARY:
        ends = (one.at for one in journal if (one.kind, one.release) == ("rollout.promoted", release.id))
        first = next(ends, None)
    return Deployment(
        id=release.id, commit=release.commit, asked_at=release.at, live_at=first, back=release.content_of is not None
    )


def _track(stored: Stored) -> str:
    """What the release began as; a batch job has no tracks."""
    tracks = stored.values.get("tracks", ())
    return next((str(one["name"]) for one in tracks if one["release"] == stored.release.id), CHAMPION)


def _never(begun: Sequence[Deployment], events: Mapping[str, Sequence[Event]]) -> list[_Failure]:
    found = []
    for one in begun:
        states = [event.state for event in events[one.id]]
        if "failed" in states and not set(states) & set(_LIVE):
            at = next(event.at for event in events[one.id] if event.state == "failed")
            found.append(_Failure(one.id, at, _next_live(begun, at), "it never became available"))
    return found


def _gone_back(begun: Sequence[Deployment], journal: Sequence[JournalEntry]) -> list[_Failure]:
    found = []
    for end in journal:
        if end.kind != "rollout.rolled_back" or end.release is None:
            continue
        weighed = (one.at for one in journal if (one.kind, one.release) == ("rollout.weight", end.release))
        asked = next((one.asked_at for one in begun if one.id == end.release), end.at)
        found.append(_Failure(end.release, next(weighed, asked), end.at, "its rollout went back"))
    return found


def _taken_back(begun: Sequence[Deployment], releases: Mapping[str, Release]) -> list[_Failure]:
    live = {one.id: one.live_at or one.asked_at for one in begun}
    found = []
    for one in begun:
        before = releases.get(releases[one.id].before or "")
        if not one.back or one.live_at is None or before is None:
            continue
        bad = before.content_of or before.id
        since = live.get(bad)
        if bad != releases[one.id].content_of and since is not None and since <= one.live_at:
            found.append(_Failure(bad, since, one.live_at, f"{one.id} took it back"))
    return found


def _switched(
    begun: Sequence[Deployment], releases: Mapping[str, Release], journal: Sequence[JournalEntry]
) -> list[_Failure]:
    found = []
    for on in journal:
        stood = [one for one in begun if one.live_at and one.live_at <= on.at] if on.kind == "switch.on" else []
        if not stood:
            continue
        last = max(stood, key=lambda one: one.live_at or on.at).id
        offs = [one.at for one in journal if one.kind == "switch.off" and one.at >= on.at]
        until = on.data.get("until")
        ends = [*offs[:1], *([datetime.fromisoformat(until)] if isinstance(until, str) else [])]
        found.append(_Failure(releases[last].content_of or last, on.at, min(ends, default=None), "it was switched off"))
    return found


def _next_live(begun: Sequence[Deployment], after: datetime) -> datetime | None:
    return min((one.live_at for one in begun if one.live_at and one.live_at > after), default=None)


def _with(one: Deployment, failure: _Failure | None) -> Deployment:
    if failure is None:
        return one
    told = {"failed_at": failure.at, "restored_at": failure.restored_at, "why": failure.why}
    return one.model_copy(update=told)
