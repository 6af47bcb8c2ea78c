"""One loaded model behind the protocol: what each transport and each runtime calls."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from carrental_mlops.config.serving import Serving
from carrental_mlops.core.arrays import Floats, Values
from carrental_mlops.data.features import Arrays
from carrental_mlops.serving.interface import OUTPUTS
from carrental_mlops.serving.protocol import Inference
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.service import Answer, ModelService
from carrental_mlops.serving.signature import Signature


@dataclass(frozen=True)
class Stored:
    """Stored features of one request."""

    columns: Mapping[str, Floats]
    """`view__feature` to (n,) float64, NaN where not there."""
    ages: Mapping[str, float]
    """View to the age of its oldest row (seconds); NaN where an entity is unknown."""
    flags: tuple[str, ...] = ()
    """What was not as it should be, such as `stale:customer_history`."""


@dataclass(slots=True)
class Made:
    """The answers to one request, and what they were made of."""

    answer: Answer
    stored: Stored
    flags: tuple[str, ...]
    model: Identity | None = None
    """Which made them, where it is not the endpoint's own."""


class Switch(Protocol):
    """Says when something else than the model answers."""

    async def start(self, endpoint: Endpoint) -> None:
        """Set `endpoint.switched` from now on."""
        ...

    async def stop(self) -> None:
        """End."""
        ...


class Instead(Protocol):
    """Answers instead of the model."""

    async def made(
        self, endpoint: Endpoint, rows: int, numbers: Mapping[str, Floats], values: Mapping[str, Sequence[Any]]
    ) -> Made:
        """The answers to a request that was checked: its numbers and its values."""
        ...


class FeatureReader(Protocol):
    """Reads stored features by entity id."""

    async def start(self) -> None:
        """Connect.

        Raises:
            PlatformError: the store does not answer.
        """
        ...

    async def stop(self) -> None:
        """Disconnect."""
        ...

    async def read(self, values: Mapping[str, Sequence[Any]], rows: int) -> Stored:
        """The stored features of `rows` rows whose entity ids are in `values`, within the budget.

        Raises:
            Refusal: 503 where the policy refuses stale features.
        """
        ...


@dataclass(slots=True)
class Event:
    """What the audit keeps of one answer."""

    id: str
    """Of the answer: the caller's where he sent one, who may send it twice."""
    event_id: str
    """Never comes twice."""
    time: float
    """Seconds since 1970-01-01 UTC at which the request came."""
    inputs: Mapping[str, Sequence[Any]]
    """Field to (n,) values, as the contract read them."""
    features: Mapping[str, Floats]
    """Stored feature to (n,) values."""
    ages: Mapping[str, float]
    answer: Answer
    flags: tuple[str, ...]
    trace: str | None
    """W3C traceparent of the request."""
    caller: str | None
    model: Identity | None = None
    """Which model answered, where it is not the endpoint's own (a switch)."""


class Trail(Protocol):
    """Where audit events go."""

    async def start(self) -> None:
        """Make ready.

        Raises:
            PlatformError: events could not be kept.
        """
        ...

    async def stop(self) -> None:
        """Keep what waits, then close."""
        ...

    async def keep(self, event: Event) -> None:
        """Returns once the event is as safe as the trail promises.

        Raises:
            Refusal: 503, a durable trail cannot keep it.
        """
        ...


@dataclass(frozen=True)
class Identity:
    """Which model answers."""

    name: str
    version: str
    digest: str
    registered_at: float | None = None
    """Seconds since 1970-01-01 UTC."""


@dataclass
class Endpoint:
    """Request to answer: check, read stored features, score, decide, keep.

    `answer` is the whole path; a transport reads and writes bytes around it.
    """

    identity: Identity
    service: ModelService
    signature: Signature
    settings: Serving
    reader: FeatureReader | None = None
    trail: Trail | None = None
    switch: Switch | None = None
    passed_flags: frozenset[str] = frozenset()
    """Flags that a transformer before this model may have set; a request's others are left out, for they may hold
    anything."""
    switched: Instead | None = None
    """What answers instead of the model; `switch` sets it."""
    _prefix: str = field(default_factory=lambda: os.urandom(8).hex())
    _count: itertools.count[int] = field(default_factory=itertools.count)
    _slow: bool = False
    """Whether `reasons` would hold up other requests."""

    @property
    def prompt(self) -> bool:
        """Whether `answer` waits for nothing, the audit aside."""
        return self.reader is None and not self._slow

    async def answer(
        self, inference: Inference, started: float, trace: str | None = None, caller: str | None = None
    ) -> tuple[Event, dict[str, tuple[str, Values]]]:
        """The answers to a request that was read, once the audit has them.

        Args:
            inference: the request.
            started: `time.perf_counter` when it came.
            trace: W3C traceparent.
            caller: who asks, as authentication found.

        Returns:
            The audit's event and the outputs: `score` FP64, `decision` BYTES, `reason` BYTES, (n,) each.

        Raises:
            Refusal: 422 naming the field, 503, 504.
        """
        self._hold_deadline(started)
        if inference.wanted and (unknown := [name for name in inference.wanted if name not in OUTPUTS]):
            raise Refusal(422, f"no output `{unknown[0][:256]}`; there are {', '.join(OUTPUTS)}", "outputs")
        numbers, values = self.signature.check(inference.columns, inference.rows)
        switched = self.switched
        if switched is None:
            made = await self._made(inference, numbers, values, started)
            self._hold_deadline(started)
        else:
            made = await switched.made(self, inference.rows, numbers, values)
        answer, event_id = made.answer, f"{self._prefix}{next(self._count):x}"
        event = Event(
            id=inference.id or event_id,
            event_id=event_id,
            time=time.time(),
            inputs=values,
            features=made.stored.columns,
            ages=made.stored.ages,
            answer=answer,
            flags=made.flags,
            trace=trace,
            caller=caller,
            model=made.model,
        )
        if self.trail is not None:
            await self.trail.keep(event)  # on record, so it is given, however late
        outputs: dict[str, tuple[str, Values]] = {
            "score": (OUTPUTS["score"], answer.scores),
            "decision": (OUTPUTS["decision"], answer.decisions.tolist()),
            "reason": (OUTPUTS["reason"], answer.reasons),
        }
        return event, outputs

    async def _made(
        self, inference: Inference, numbers: Arrays, values: Mapping[str, Sequence[Any]], started: float
    ) -> Made:
        stored = _NOTHING if self.reader is None else await self.reader.read(values, inference.rows)
        checked = {**numbers, **stored.columns} if stored.columns else numbers
        flags = stored.flags
        if inference.flags:
            flags = (*flags, *(flag for flag in inference.flags if flag in self.passed_flags))
        scores, columns = self.service.scored({}, checked)
        reasons = (
            await self._reasons(scores, columns, started) if self._slow else self.service.explained(scores, columns)
        )
        answer = self.service.decided(scores, columns, reasons or ("",) * inference.rows)
        return Made(answer, stored, flags if reasons is not None else (*flags, "reasons:late"))

    async def start(self) -> None:
        """Connect what the answers need, then answer one made-up row, so that the first caller does not wait for it."""
        for part in (self.reader, self.trail):
            if part is not None:
                await part.start()
        scores, columns = self.service.scored({name: np.ones(1) for name in self.service.fields()})
        self.service.decided(scores, columns, self.service.explained(scores, columns))
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            self.service.explained(scores, columns)
            times.append(time.perf_counter() - begun)
        self._slow = min(times) > _SLOW_S
        if self.switch is not None:
            await self.switch.start(self)

    async def stop(self) -> None:
        """Close what `start` opened."""
        if self.switch is not None:
            await self.switch.stop()
        for part in (self.trail, self.reader):
            if part is not None:
                await part.stop()

    def metadata(self) -> dict[str, Any]:
        """The model's metadata as the protocol has it; a field that may be left out says so in its parameters."""
        optional = {"parameters": {"optional": True}}
        inputs = [
            {"name": f.name, "datatype": f.datatype, "shape": [-1], **({} if f.required else optional)}
            for f in self.signature.fields
        ]
        return {
            "name": self.identity.name,
            "versions": [self.identity.version],
            "platform": "carrental-mlops",
            "inputs": inputs,
            "outputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in OUTPUTS.items()],
            "parameters": {"digest": self.identity.digest},
        }

    async def _reasons(self, scores: Floats, columns: Arrays, started: float) -> tuple[str, ...] | None:
        """The reasons, from a thread; None where they would leave too little of the deadline for the rest."""
        left = None
        if self.settings.deadline_ms:
            left = max(0.0, _FOR_REASONS * self.settings.deadline_ms / 1e3 - (time.perf_counter() - started))
        try:
            return await asyncio.wait_for(asyncio.to_thread(self.service.explained, scores, columns), left)
        except TimeoutError:
            return None

    def _hold_deadline(self, started: float) -> None:
        if self.settings.deadline_ms and (time.perf_counter() - started) * 1e3 > self.settings.deadline_ms:
            raise Refusal(504, f"no answer within {self.settings.deadline_ms:g} ms")


_NOTHING = Stored({}, {})
_SLOW_S = 0.0005
"""Reasons of one row that take longer (seconds) run in a thread."""
_FOR_REASONS = 0.8
"""Share of the deadline after which an answer goes without its reasons."""
