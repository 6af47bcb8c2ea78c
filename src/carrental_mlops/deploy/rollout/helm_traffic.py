"""How much of the traffic the canary gets in a cluster: the shares of the chart's tracks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carrental_mlops.deploy.cluster.apply import Say, until_available
from carrental_mlops.deploy.cluster.deployment import WAIT_S, alone_in, rollback
from carrental_mlops.deploy.cluster.lease import alone
from carrental_mlops.deploy.cluster.site import Site
from carrental_mlops.deploy.manifests import helm, labels
from carrental_mlops.deploy.manifests.values import as_now
from carrental_mlops.errors import PlatformError


@dataclass(frozen=True)
class HelmTraffic:
    """A canary beside its champion, as `crm deploy --canary` put it there; see `traffic.Traffic`.

    Args:
        site: where.
        release: id of the canary's release.
        by: who.
        say: shows progress.
        wait_s: how long a promotion or a way back may take until it is available (seconds).
    """

    site: Site
    release: str
    by: str
    say: Say
    wait_s: float = WAIT_S

    def weight(self) -> int:
        """What the release gets (percent)."""
        tracks = self._tracks(self._values())
        return next((int(one["share"]) for one in tracks if one["release"] == self.release), 0)

    def set(self, weight: int) -> None:
        """Give the canary `weight` percent, and the least replicas that this wants."""
        with alone(self.site.cluster, self.site.service, self.by):
            values = self._values()
            tracks = self._tracks(values)
            shares = {labels.CANARY: weight, labels.CHAMPION: 100 - weight}
            if {one["name"] for one in tracks} != shares.keys() or self._canary(tracks) != self.release:
                raise PlatformError(
                    f"{self.release} is no canary in {self.site.env} any more: {_told(tracks)}",
                    f"crm status --env {self.site.env}",
                )
            least = values["autoscale"]["minimum"]
            changed = [
                {**one, "share": shares[one["name"]], "minimum": _least(one["name"], least, weight)} for one in tracks
            ]
            self._put({**values, "tracks": changed})

    def promote(self) -> None:
        """The canary's release as the only champion, available."""
        values = alone_in(self.site.store.get(self.release))
        with alone(self.site.cluster, self.site.service, self.by):
            if self._tracks(self._values()) != values["tracks"]:
                self._put(values)
            until_available(self.site, self.release, values, self.wait_s, self.say)

    def roll_back(self) -> None:
        """The champion alone, as a release of its own, available; nothing where the canary is not there."""
        tracks = self._tracks(self._values())
        champion = next((str(one["release"]) for one in tracks if one["name"] == labels.CHAMPION), None)
        if self._canary(tracks) == self.release and champion is not None:
            rollback(self.site, self.by, self.say, champion, self.wait_s)

    def _values(self) -> Mapping[str, Any]:
        running = self.site.running()
        return running.values if running else {}

    def _tracks(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [dict(one) for one in values.get("tracks", ())]

    def _canary(self, tracks: list[dict[str, Any]]) -> str | None:
        return next((str(one["release"]) for one in tracks if one["name"] == labels.CANARY), None)

    def _put(self, values: Mapping[str, Any]) -> None:
        cluster = self.site.cluster
        helm.upgrade(helm.chart_dir(), self.site.service, cluster.namespace, as_now(values), cluster.context)


def _least(track: str, least: int, weight: int) -> int:
    """A champion keeps its replicas until the end: it takes all of the traffic back at once."""
    return least if track == labels.CHAMPION else max(1, math.ceil(least * weight / 100))


def _told(tracks: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['name']} {one['release']} {one['share']} %" for one in tracks) or "nothing runs"
