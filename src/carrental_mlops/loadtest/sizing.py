"""How many replicas of which size hold a peak, from what one of them was measured to hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

_CPU_BOUND = 0.6
"""Cores that a replica uses at its knee, from which on CPU says when it is full."""
_MEMORY_ROOM = 1.5


@dataclass(frozen=True)
class Knee:
    """What one replica holds."""

    held_rps: int
    """Highest arrival rate at which the SLO was held (requests/s)."""
    missed_rps: int
    """Lowest rate above it at which it was missed."""
    closed_rps: float
    """Most answers a second to clients that wait for each (closed model)."""
    cpu_ms: float | None
    """CPU time of a request (ms); None where the service does not tell."""
    memory_bytes: float | None
    """Resident memory after the search."""


@dataclass(frozen=True)
class Sizing:
    """Advice for one peak."""

    peak_rps: float
    headroom: float
    """Share of what a replica holds that stays free at the peak (fraction)."""
    replica_rps: int
    """What one replica is to get at the peak (requests/s)."""
    minimum: int
    maximum: int
    cpu: str
    """To reserve, as Kubernetes writes it."""
    memory: str
    cpu_percent: int | None
    """Target of the autoscaler, of the reserved CPU; None where the service is not bound by CPU."""

    def overlay(self) -> dict[str, Any]:
        """The values for config/<env>.yaml, by dotted key."""
        scale = {"minimum": self.minimum, "maximum": self.maximum, "cpu_percent": self.cpu_percent}
        if self.cpu_percent is None:
            scale["rps"] = self.replica_rps
        values: dict[str, Any] = {f"deploy.autoscale.{name}": value for name, value in scale.items()}
        return values | {"deploy.resources.cpu": self.cpu, "deploy.resources.memory": self.memory}


def sizing_of(knee: Knee, peak_rps: float, headroom: float) -> Sizing:
    """The advice: at the peak, and with one replica gone, each of the others stays below its knee.

    A replica reserves the CPU that it uses at its knee, so that a target of `1 - headroom` keeps it that far below.

    Args:
        knee: what one replica holds.
        peak_rps: of the whole service.
        headroom: share of what a replica holds that stays free at the peak (fraction).
    """
    replica = max(1, math.floor(knee.held_rps * (1 - headroom)))
    minimum = max(2, math.ceil(peak_rps / replica), math.ceil(peak_rps / knee.held_rps) + 1)
    cores = knee.held_rps * knee.cpu_ms / 1e3 if knee.cpu_ms else None
    millicores = 50 * math.ceil((cores or 0.1) * 20)
    memory = 64 * math.ceil(_MEMORY_ROOM * (knee.memory_bytes or 2**28) / 2**20 / 64)
    bound = cores is not None and cores >= _CPU_BOUND
    return Sizing(
        peak_rps, headroom, replica, minimum, 2 * minimum, f"{millicores}m", f"{memory}Mi",
        round(100 * (1 - headroom)) if bound else None,
    )  # fmt: skip
