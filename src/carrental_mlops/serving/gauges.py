"""What a service looks up of itself now and then, so that no request pays for it: queue, scores, the audit's disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from carrental_mlops.serving.segments import begun
from carrental_mlops.serving.telemetry import Metrics

log = logging.getLogger("carrental_mlops.serving")

_EVERY_S = 5.0
"""Seconds between two looks; less than Prometheus' scrapes are apart."""


class Gauges:
    """Sets the gauges of `metrics` until stopped.

    Args:
        metrics: of this worker.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.fullest: Callable[[], float] | None = None
        """The most that the queue held since the last call (share of its limit)."""
        self.audit_folder: Path | None = None
        """Where events wait; None where none are kept."""
        self.shipped = False
        """Whether somebody sends them from there."""

    def start(self) -> None:
        """Begin, on the running loop."""
        self._task = asyncio.create_task(self._look())

    def stop(self) -> None:
        """End."""
        self._task.cancel()

    async def _look(self) -> None:
        while True:
            self._metrics.count_scores()
            if self.fullest is not None:
                self._metrics.queue_fill.set(self.fullest())
            if self.audit_folder is not None:
                await asyncio.to_thread(self._look_at_disk, self.audit_folder)
            await asyncio.sleep(_EVERY_S)

    def _look_at_disk(self, folder: Path) -> None:
        with contextlib.suppress(OSError):
            disk = os.statvfs(folder)
            self._metrics.audit_free.set(disk.f_bavail / max(1, disk.f_blocks))
            if self.shipped:
                oldest = min(map(begun, folder.glob("events-*.jsonl")), default=None)
                self._metrics.audit_waiting.set(0 if oldest is None else max(0.0, time.time() - oldest))
