"""The kill switch, as the service sees it: a small file says what answers instead of the model, and until when.

The file is looked at once a second, off the request path, which reads one attribute. A file that cannot be read is
reported and changes nothing; a switch ends at its time with nobody doing anything.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from carrental_mlops.core.arrays import Floats
from carrental_mlops.serving.endpoint import Endpoint, Identity, Made, Stored
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.service import Answer, ModelService
from carrental_mlops.serving.telemetry import Metrics

log = logging.getLogger("carrental_mlops.serving.switch")

FILE = "CRM_SWITCH_FILE"
"""Environment variable: the file; unset: where the chart mounts the ConfigMap, else `.crm/switch/switch.json`."""
MOUNTED = Path("/etc/crm/switch/switch.json")
LOCAL = Path(".crm") / "switch" / "switch.json"
To = Literal["rules", "previous", "constant"]

_POLL_S = 1.0
_MAX_BYTES = 64 << 10


@dataclass(frozen=True)
class Order:
    """What answers instead of the model."""

    to: To
    """`rules`: the service's rules alone; `previous`: the model of the bundle before; `constant`: one decision."""
    until: datetime
    """UTC."""
    by: str
    reason: str
    decision: str = "accept"
    """Of every row (constant), or of a row that no rule blocks (rules)."""

    def text(self) -> str:
        """The file's content."""
        return json.dumps({**vars(self), "until": self.until.isoformat()}, indent=1) + "\n"

    @classmethod
    def parsed(cls, text: bytes | str) -> Order | None:
        """What `text` wrote; None of an empty file or `{}`.

        Raises:
            ValueError: it is something else; says what.
        """
        told = json.loads(text) if text.strip() else {}
        if told == {}:
            return None
        wrong = not isinstance(told, dict) or {"to", "until", "by", "reason"} - told.keys() or told["to"] not in _TO
        if wrong or not all(isinstance(value, str) for value in told.values()):
            raise ValueError(f"it wants texts `to` ({', '.join(_TO)}), `until`, `by`, `reason` and perhaps `decision`")
        until = datetime.fromisoformat(told["until"])
        if until.tzinfo is None:
            raise ValueError("`until` has no time zone")
        return cls(told["to"], until, told["by"], told["reason"], told.get("decision", "accept"))


_TO = get_args(To)


@dataclass(frozen=True)
class Previous:
    """The model before this one, loaded and ready."""

    identity: Identity
    service: ModelService


@dataclass(frozen=True)
class Switched:
    """Answers as an order says; the audit's events carry the flag `switched:<to>`."""

    order: Order
    previous: Previous | None = None

    async def made(
        self, endpoint: Endpoint, rows: int, numbers: Mapping[str, Floats], values: Mapping[str, Sequence[Any]]
    ) -> Made:
        """As `Instead` says."""
        stored = await self._stored(endpoint, values, rows)
        answer = self._answered(endpoint.service, {**numbers, **stored.columns}, rows)
        model = self.previous.identity if self.previous else None
        return Made(answer, stored, (*stored.flags, f"switched:{self.order.to}"), model)

    async def _stored(self, endpoint: Endpoint, values: Mapping[str, Any], rows: int) -> Stored:
        """The stored features; a constant needs none, and rules go on without those that cannot be read."""
        if endpoint.reader is None or self.order.to == "constant":
            return Stored({}, {})
        try:
            return await endpoint.reader.read(values, rows)
        except Refusal:
            if self.order.to != "rules":
                raise
            missing = {name: np.full(rows, np.nan) for name in endpoint.service.feature_set.stored_columns()}
            return Stored(missing, {}, ("features:unavailable",))

    def _answered(self, service: ModelService, checked: dict[str, Any], rows: int) -> Answer:
        if self.previous is not None:
            before = self.previous.service
            scores, columns = before.scored({}, checked)
            return before.decided(scores, columns, before.explained(scores, columns))
        said = f"switched:{self.order.to}"
        if self.order.to == "rules":
            return service.ruled(checked, self.order.decision, said)
        blocked = float(self.order.decision == "block")
        return Answer(np.full(rows, blocked), np.array([self.order.decision] * rows), (said,) * rows)


class Switchboard:
    """Watches the file, and sets `endpoint.switched`.

    Args:
        file: to watch; it need not exist.
        metrics: gets the gauges `crm_switched` (by `to`) and `crm_switch_broken`.
        previous: the model before; None where none was given to this service.
    """

    def __init__(self, file: Path, metrics: Metrics, previous: Previous | None = None) -> None:
        self._file, self._previous = file, previous
        told = "Whether something else than the model answers"
        self._gauge = metrics.gauge("crm_switched", told, "livemax", "to")
        self._broken = metrics.gauge("crm_switch_broken", "Whether the switch file cannot be read", "livemax")
        self._raw: bytes | OSError | None = None
        self._order: Order | None = None
        self._applied: Order | None = None

    async def start(self, endpoint: Endpoint) -> None:
        """Read the file, then watch it."""
        self._endpoint = endpoint
        self._labels = {"model": endpoint.identity.name, "version": endpoint.identity.version}
        self._show()
        await self._look()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """End."""
        self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            try:
                await self._look()
            except Exception:  # the watch must outlive whatever a file may be
                log.exception("the switch file could not be looked at")

    async def _look(self) -> None:
        raw = await asyncio.to_thread(_content, self._file)
        if repr(raw) != repr(self._raw):
            self._raw = raw
            self._read(raw)
        if self._order is not None and self._order.until.timestamp() <= time.time():
            log.warning("the switch to %s has come to its end", self._order.to)
            self._order = None
        if self._order != self._applied:
            self._apply()

    def _read(self, raw: bytes | OSError) -> None:
        try:
            if isinstance(raw, OSError):
                raise ValueError(raw.strerror or str(raw))
            order = Order.parsed(raw)
            if order and order.to == "previous" and self._previous is None:
                raise ValueError("`to` is previous, and this service was given no bundle before its own")
        except ValueError as error:
            self._broken.labels(**self._labels).set(1)
            now = f"switched to {self._order.to}" if self._order else "the model answers"
            log.error("%s is ignored, all stays as it is (%s): %s", self._file, now, error)
        else:
            self._broken.labels(**self._labels).set(0)
            self._order = order

    def _apply(self) -> None:
        order = self._applied = self._order
        self._show()
        if order is None:
            log.warning("no switch: the model answers")
            self._endpoint.switched = None
            return
        log.warning("switched to %s until %s by %s: %s", order.to, order.until, order.by, order.reason)
        self._endpoint.switched = Switched(order, self._previous if order.to == "previous" else None)

    def _show(self) -> None:
        for to in _TO:
            now = self._applied is not None and self._applied.to == to
            self._gauge.labels(**self._labels, to=to).set(int(now))


def _content(file: Path) -> bytes | OSError:
    """What the file holds; nothing where it is not there."""
    try:
        with file.open("rb") as stream:
            return stream.read(_MAX_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        return error


def switch_file(root: Path) -> Path:
    """Where the service of the repo at `root` looks."""
    if named := os.environ.get(FILE):
        return Path(named)
    return MOUNTED if MOUNTED.parent.is_dir() else root / LOCAL
