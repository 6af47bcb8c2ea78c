"""What the service keeps of each answer: CloudEvents, one a line, in segments on disk.

`DurableTrail` returns from `keep` once the event is on disk; `BestEffortTrail` never waits, and counts what it drops.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.endpoint import Event, Identity
from carrental_mlops.serving.refusal import Refusal

log = logging.getLogger("carrental_mlops.serving.audit")

MASK = "***"
"""Stands for a value that the policy does not let into the audit in the clear."""
TYPE = "com.carrental.inference.v1"
_PAUSE = 0.02
"""Seconds between two looks at the queue (best effort)."""
_BATCH = 64
"""Events rendered at a time; the thread then lets the answering one go on."""


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


class Counter(Protocol):
    """The part of a Prometheus counter that we use."""

    def inc(self, amount: float = 1) -> None:
        """Add `amount`."""
        ...


class Rendering:
    """An event as one line of JSON, masked.

    Args:
        identity: the model that answers.
        clear: request fields kept in the clear; stored features, being aggregates, always are.
    """

    def __init__(self, identity: Identity, clear: Sequence[str]) -> None:
        self._clear = frozenset(clear)
        self._source = f"/models/{identity.name}/versions/{identity.version}"
        self._model = {"name": identity.name, "version": identity.version, "digest": identity.digest}

    def __call__(self, event: Event) -> bytes:
        """The line, with its end."""
        answer = event.answer
        shown = self._clear
        envelope: dict[str, Any] = {
            "specversion": "1.0",
            "id": event.id,
            "source": self._source,
            "type": TYPE,
            "time": datetime.fromtimestamp(event.time, UTC),
            "datacontenttype": "application/json",
            "data": {
                "model": self._model,
                "inputs": {n: v if n in shown else MASK for n, v in event.inputs.items()},
                "features": event.features,
                "ages": event.ages,
                "score": answer.scores,
                "decision": answer.decisions.tolist(),
                "reason": answer.reasons,
                "flags": event.flags,
                "caller": event.caller,
            },
        }
        if event.trace:
            envelope["traceparent"] = event.trace
        return orjson.dumps(envelope, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


class Segments:
    """Files of one worker, appended to and closed at a size; each is named by the instant at which it was begun.

    Args:
        folder: of the audit; the files lie directly in it.
        kind: `events` or `inputs`.
        limit: bytes at which a segment is closed.
        header: the first line of a new segment, made anew for each.
    """

    def __init__(self, folder: Path, kind: str, limit: int, header: Callable[[], bytes] | None = None) -> None:
        self._folder, self._kind, self._limit, self._header = folder, kind, limit, header
        self._file: int | None = None
        self._size = 0

    def append(self, lines: bytes) -> None:
        """On disk when it returns.

        Raises:
            OSError: it is not; what was half-written is taken back.
        """
        file = self._file
        if file is None or self._size + len(lines) > self._limit:
            file = self._begin()
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fdatasync(file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._size)
            raise
        self._size += len(lines)

    def close(self) -> None:
        """Give the last segment to whoever ships it."""
        if self._file is not None:
            os.close(self._file)
            self._path.rename(self._path.with_suffix(".jsonl"))
        self._file = None

    def _begin(self) -> int:
        self.close()
        self._path = self._folder / f"{self._kind}-{time.time_ns()}-{os.getpid()}.open"
        file = self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._size = 0
        if self._header is not None:
            self._size = os.write(file, self._header())
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return file


def recover(folder: Path) -> list[Path]:
    """Closes the segments of killed workers, so that they can be shipped; a last line cut short was never answered.

    Args:
        folder: of the audit.
    """
    closed = []
    for path in sorted(folder.glob("*.open")):
        owner = int(path.stem.rpartition("-")[2])
        if owner == os.getpid() or _alive(owner):
            continue
        with path.open("rb+") as file:
            body = file.read()
            file.truncate(body.rfind(b"\n") + 1)
        closed.append(path.rename(path.with_suffix(".jsonl")))
    return closed


class DurableTrail:
    """`keep` returns once the event is on disk; events that come meanwhile share the next write.

    Args:
        folder: made where it is not there.
        rendering: of events.
        limit: bytes at which a segment is closed.
        written: counts events kept.
        vault: keeps the full input, encrypted; None keeps none.
    """

    def __init__(
        self, folder: Path, rendering: Rendering, limit: int, written: Counter, vault: Vault | None = None
    ) -> None:
        self._folder, self._render, self._written, self._vault = folder, rendering, written, vault
        self._events = Segments(folder, "events", limit)
        self._inputs = Segments(folder, "inputs", limit, vault.header) if vault else None
        self._disk = ThreadPoolExecutor(1, "audit")
        self._waiting: list[_Kept] = []
        self._busy = False

    async def start(self) -> None:
        """Make the folder, and close what killed workers left.

        Raises:
            PlatformError: the folder cannot be written.
        """
        self._loop = asyncio.get_running_loop()
        _ready(self._folder)

    async def stop(self) -> None:
        """Wait for the last write, then close."""
        while self._busy:
            await asyncio.sleep(0.001)
        self._disk.shutdown()
        for segments in (self._events, self._inputs):
            if segments:
                segments.close()

    async def keep(self, event: Event) -> None:
        """The event is on disk when it returns.

        Raises:
            Refusal: 503, it is not.
        """
        done = self._loop.create_future()
        sealed = self._vault.seal(event) if self._vault else b""
        self._waiting.append(_Kept(self._render(event), sealed, done))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._write)  # after this turn of the loop, so that its other events go along
        await done

    def _write(self) -> None:
        batch, self._waiting = self._waiting, []
        self._loop.run_in_executor(self._disk, self._commit, batch).add_done_callback(
            lambda written: self._settle(batch, written.exception())
        )

    def _commit(self, batch: list[_Kept]) -> None:
        if self._inputs:
            self._inputs.append(b"".join(kept.sealed for kept in batch))
        self._events.append(b"".join(kept.line for kept in batch))

    def _settle(self, batch: list[_Kept], error: BaseException | None) -> None:
        if error:
            log.error("%d events could not be kept: %s", len(batch), error)
        else:
            self._written.inc(len(batch))
        for kept in batch:
            if not kept.done.done():
                if error:
                    kept.done.set_exception(Refusal(503, "the answer could not be recorded"))
                else:
                    kept.done.set_result(None)
        if self._waiting:
            self._write()
        else:
            self._busy = False


class BestEffortTrail:
    """`keep` never waits: events wait in a bounded queue for a thread that writes them; what does not fit is counted.

    Args:
        folder: made where it is not there.
        rendering: of events.
        limit: bytes at which a segment is closed.
        queue: events that wait at most.
        written: counts events kept.
        dropped: counts events lost.
    """

    def __init__(
        self, folder: Path, rendering: Rendering, limit: int, queue: int, written: Counter, dropped: Counter
    ) -> None:
        self._folder, self._render, self._limit = folder, rendering, queue
        self._written, self._dropped = written, dropped
        self._events = Segments(folder, "events", limit)
        self._queue: deque[Event] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    async def start(self) -> None:
        """Make the folder, and close what killed workers left.

        Raises:
            PlatformError: the folder cannot be written.
        """
        _ready(self._folder)
        self._thread.start()

    async def stop(self) -> None:
        """Write what waits, then close."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 10)
        self._events.close()

    async def keep(self, event: Event) -> None:
        """Never waits and never refuses."""
        if len(self._queue) < self._limit:
            self._queue.append(event)
        else:
            self._dropped.inc()

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE) or self._queue:
            while self._queue:
                self._flush([self._queue.popleft() for _ in range(min(len(self._queue), _BATCH))])

    def _flush(self, events: list[Event]) -> None:
        try:
            self._events.append(b"".join(map(self._render, events)))
            self._written.inc(len(events))
        except Exception:  # a thread that dies here would lose every later event without a word
            self._dropped.inc(len(events))
            log.exception("%d events could not be kept", len(events))


def _ready(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        recover(folder)
        (probe := folder / f".probe-{os.getpid()}").write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise PlatformError(
            f"the audit folder {folder} cannot be written: {error.strerror}",
            "free or mount it, or set serving.audit.folder",
        ) from error


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
