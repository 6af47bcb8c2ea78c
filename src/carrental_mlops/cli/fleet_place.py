"""How every command names a fleet: `--fleet PLACE`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from carrental_mlops.fleet.clones import Clones
    from carrental_mlops.fleet.inventory import Fleet

PLACE = "Folder of repos, fleet file, gitlab:GROUP or github:ORG"
FleetPlace = Annotated[str | None, typer.Option("--fleet", metavar="PLACE", help=f"{PLACE}.")]


def fleet_at(
    place: str, url: str | None = None, topic: str | None = None, canary: Sequence[str] = ()
) -> tuple[Fleet, Clones]:
    """The fleet at `place`, and where the repos of it lie.

    Raises:
        ConfigError: there is no such place, or it holds no repo.
        PlatformError: its host does not answer.
    """
    from carrental_mlops.fleet.clones import Clones, default_folder
    from carrental_mlops.fleet.inventory import read_fleet

    fleet = read_fleet(place, url, topic, canary)
    return fleet, Clones(default_folder(), fleet.host)


def folders_at(place: str) -> dict[str, Path]:
    """Each repo's folder by its name; repos of a host are cloned.

    Raises:
        ConfigError, PlatformError: as of `fleet_at`, or a remote does not answer.
    """
    fleet, clones = fleet_at(place)
    return clones.folders(fleet)
