"""What runs, beside what was released."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from carrental_mlops.deploy.cluster.site import BatchJob, Pod, Site
from carrental_mlops.deploy.releases.release import Event


@dataclass(frozen=True)
class ClusterStanding:
    """What `crm status` shows."""

    available: bool
    tracks: tuple[Mapping[str, Any], ...]
    """Name, release, image, model version and share (percent) of each that Helm put there."""
    said: tuple[str, ...]
    """What is not as it should be, one sentence each."""
    pods: tuple[Pod, ...]
    newest: str | None
    """Id of the newest release."""
    events: tuple[Event, ...]
    """Of the newest release."""
    batch: BatchJob | None = None
    """The batch job; None: there is none."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        events = [event.model_dump(mode="json") for event in self.events]
        return {**asdict(self), "tracks": [dict(track) for track in self.tracks], "events": events}


def standing(site: Site) -> ClusterStanding:
    """What runs on `site`.

    Raises:
        PlatformError: the cluster cannot be reached.
    """
    running, newest, pods = site.running(), site.store.newest(site.env), tuple(site.pods())
    name = newest.release.id if newest else None
    events = tuple(site.store.events(name)) if name else ()
    if running is None:
        return ClusterStanding(False, (), (f"{site.service} is not in the cluster",), pods, name, events)
    missing, batch = site.missing(running.values), site.batch()
    said = [*missing, *of_batch(running.values, batch)]
    if running.status != "deployed":
        said.append(f"revision {running.revision} of Helm is {running.status}, not deployed")
    if newest and (not events or events[-1].state == "started"):
        said.append(f"{name} was begun and not finished: the same command goes on with it")
    elif newest and events[-1].state == "failed":
        said.append(f"{name} failed: {events[-1].said}")
    expected = (newest.release.content_of or newest.release.id) if newest else None
    if expected not in running.tracks.values():
        told = ", ".join(running.tracks.values())
        said.append(f"{told} runs, not the newest release {expected}" if expected else f"{told} runs, and no release "
                    "of it is stored here")  # fmt: skip
    return ClusterStanding(not missing, tuple(running.values["tracks"]), tuple(said), pods, name, events, batch)


def of_batch(values: Mapping[str, Any], batch: BatchJob | None) -> list[str]:
    """Where the batch job is not as `values` want it, one sentence each; the service is available all the same."""
    wanted = values.get("batch")
    if wanted is None:
        return []
    if batch is None:
        return ["the batch job is not in the cluster"]
    if batch.suspended and not wanted["job"]["suspend"]:
        return ["the batch job was suspended in the cluster: no run is started"]
    return []
