"""How the service keeps an event of each answer.

`DurableTrail` returns from `keep` once the event is on disk; `BestEffortTrail` never waits, and counts what it drops.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.audit_event import Rendering
from carrental_mlops.serving.endpoint import Event
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.segments import Segments, recover

log = logging.getLogger("carrental_mlops.serving.audit")

_PAUSE = 0.02
"""Seconds between two looks at the queue (best effort)."""
_BATCH = 64
"""Events written at a time."""
_LOOK_S = 1.0
"""Seconds between two looks at the age of the files."""
_SLOW_S, _SLOW_WRITES, _SLOW_FOR_S = 0.001, 3, 10.0
"""So many writes in a row that take longer (seconds) keep the following ones off the loop for so long (seconds)."""
_COMPLAIN_S = 60.0
"""Seconds between two lines of the log about events lost."""


class Vault(Protocol):
    """Seals the full input of an answer, so that it can be replayed and not be read."""

    def header(self) -> bytes:
        """The first line of a segment: its key, wrapped."""
        ...

    def seal(self, event: Event) -> bytes:
        """The line of one event."""
        ...


@dataclass(slots=True)
class _Kept:
    line: bytes
    sealed: bytes
    done: asyncio.Future[None]


class Drops(Protocol):
    """Counts events lost, by cause."""

    def __call__(self, events: int, cause: str) -> None:
        """Add `events`."""
        ...


class Counter(Protocol):
    """The part of a Prometheus counter that we use."""

    def inc(self, amount: float = 1) -> None:
        """Add `amount`."""
        ...


@dataclass(frozen=True)
class Inputs:
    """Where the full inputs go."""

    vault: Vault
    segments: Segments


class DurableTrail:
    """`keep` returns once the event is on disk; events of one turn of the loop share a write.

    A quick disk is written to from the loop: handing it to a thread costs more. One that is slow gets a thread for
    some seconds, in which the loop goes on.

    Args:
        rendering: of events.
        written: counts events kept.
        events: takes them.
        inputs: take the full input, encrypted; None keeps none.
        waited: counts the seconds that answers waited for the disk.
    """

    def __init__(
        self,
        rendering: Rendering,
        written: Counter,
        events: Segments,
        inputs: Inputs | None = None,
        waited: Counter | None = None,
    ) -> None:
        self._render, self._written, self._events, self._inputs = rendering, written, events, inputs
        self._waited = waited
        self._disk = ThreadPoolExecutor(1, "audit")
        self._using = threading.Lock()
        self._slow_writes, self._slow_until = 0, 0.0
        self._waiting: list[_Kept] = []
        self._busy = False

    async def start(self) -> None:
        """Make the folders, and close what killed workers left.

        Raises:
            PlatformError: a folder cannot be written.
        """
        self._loop = asyncio.get_running_loop()
        for segments in _files(self._events, self._inputs):
            _ready(segments.folder)
        self._ageing = asyncio.create_task(self._age())

    async def stop(self) -> None:
        """Wait for the last write, then close."""
        self._ageing.cancel()
        while self._busy:
            await asyncio.sleep(0.001)
        self._disk.shutdown()
        for segments in _files(self._events, self._inputs):
            segments.close()

    async def keep(self, event: Event) -> None:
        """The event is on disk when it returns.

        Raises:
            Refusal: 503, it is not.
        """
        done = self._loop.create_future()
        sealed = self._inputs.vault.seal(event) if self._inputs else b""
        self._waiting.append(_Kept(self._render(event), sealed, done))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._write)  # after this turn of the loop, so that its other events go along
        await done

    def _write(self) -> None:
        batch, self._waiting = self._waiting, []
        if time.monotonic() < self._slow_until:
            self._loop.run_in_executor(self._disk, self._commit, batch).add_done_callback(
                lambda written: self._settle(batch, written.exception())
            )
            return
        try:
            self._commit(batch)
        except Exception as error:
            self._settle(batch, error)
        else:
            self._settle(batch, None)

    def _commit(self, batch: list[_Kept]) -> None:
        begun = time.monotonic()
        with self._using:
            if self._inputs:
                self._inputs.segments.append(b"".join(kept.sealed for kept in batch))
            self._events.append(b"".join(kept.line for kept in batch))
        now = time.monotonic()
        if self._waited:
            self._waited.inc((now - begun) * len(batch))
        self._slow_writes = self._slow_writes + 1 if now - begun > _SLOW_S else 0
        if self._slow_writes >= _SLOW_WRITES:
            self._slow_until = now + _SLOW_FOR_S

    def _settle(self, batch: list[_Kept], error: BaseException | None) -> None:
        if error:
            log.error("%d events could not be kept: %s", len(batch), error)
        else:
            self._written.inc(len(batch))
        for kept in batch:
            if not kept.done.done():
                if error:
                    kept.done.set_exception(Refusal(503, "the answer could not be recorded", cause="audit_disk"))
                else:
                    kept.done.set_result(None)
        if self._waiting:
            self._write()
        else:
            self._busy = False

    async def _age(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await self._loop.run_in_executor(self._disk, self._rotate)

    def _rotate(self) -> None:
        with self._using:
            _rotate(_files(self._events, self._inputs))


class BestEffortTrail:
    """`keep` never waits: events wait in a bounded queue for a thread that writes them; what does not fit is counted.

    Args:
        rendering: of events.
        written: counts events kept.
        dropped: counts events lost.
        queue: events that wait at most.
        events: takes them.
        inputs: take the full input, encrypted; None keeps none.
    """

    def __init__(
        self,
        rendering: Rendering,
        written: Counter,
        dropped: Drops,
        queue: int,
        events: Segments,
        inputs: Inputs | None = None,
    ) -> None:
        self._render, self._written, self._dropped, self._limit = rendering, written, dropped, queue
        self._events, self._inputs = events, inputs
        self._queue: deque[tuple[bytes, bytes]] = deque()
        self._stop = threading.Event()
        self._complained = float("-inf")
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    async def start(self) -> None:
        """Make the folders, and close what killed workers left.

        Raises:
            PlatformError: a folder cannot be written.
        """
        for segments in _files(self._events, self._inputs):
            _ready(segments.folder)
        self._thread.start()

    async def stop(self) -> None:
        """Write what waits, at most for 10 seconds, then close."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 10)
        if self._thread.is_alive():
            self._lose(len(self._queue), "slow_disk", "the disk is too slow")
        else:
            for segments in _files(self._events, self._inputs):
                segments.close()

    async def keep(self, event: Event) -> None:
        """Never waits and never refuses. The line is made here: a thread that made it would hold up the answers."""
        if len(self._queue) >= self._limit:
            self._lose(1, "queue_full", "the queue is full")
            return
        try:
            self._queue.append((self._render(event), self._inputs.vault.seal(event) if self._inputs else b""))
        except Exception as error:  # whatever a value may be, the answer goes out
            self._lose(1, "rendering", type(error).__name__)

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE) or self._queue:
            left = len(self._queue)  # those that come meanwhile wait, or this would write them one by one
            while left > 0:
                events = [self._queue.popleft() for _ in range(min(left, _BATCH))]
                left -= len(events)
                self._flush(events)
            _rotate(_files(self._events, self._inputs))

    def _flush(self, events: list[tuple[bytes, bytes]]) -> None:
        try:
            if self._inputs:
                self._inputs.segments.append(b"".join(sealed for _, sealed in events), sync=False)
            self._events.append(b"".join(line for line, _ in events), sync=False)
            self._written.inc(len(events))
        except Exception as error:  # a thread that dies here would lose every later event without a word
            self._lose(len(events), "disk", str(error))

    def _lose(self, events: int, cause: str, why: str) -> None:
        self._dropped(events, cause)
        if time.monotonic() - self._complained > _COMPLAIN_S:
            self._complained = time.monotonic()
            log.error("audit events are lost, crm_audit_dropped_total counts them: %s", why)


def _files(events: Segments, inputs: Inputs | None) -> tuple[Segments, ...]:
    return (events, inputs.segments) if inputs else (events,)


def _rotate(files: tuple[Segments, ...]) -> None:
    for segments in files:
        try:
            segments.rotate()
        except OSError as error:
            log.error("a file of the audit could not be closed: %s", error)


def _ready(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        recover(folder)
        (probe := folder / f".probe-{os.getpid()}").write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise PlatformError(
            f"the audit folder {folder} cannot be written: {error.strerror}",
            "free or mount it, or set serving.audit.folder",
        ) from error
