"""Fakes of what a service reads and writes while it answers: in memory, and held to the real ones' behaviour."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from carrental_mlops.config.serving import OnlineFeatures
from carrental_mlops.core.arrays import Floats
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.auth import Client, Headers, bearer
from carrental_mlops.serving.endpoint import Endpoint, Event, Made, Stored
from carrental_mlops.serving.online import OnlineReader
from carrental_mlops.serving.online_view import OnlineView, Row
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.service import Answer
from carrental_mlops.serving.switch import Order
from carrental_mlops.serving.telemetry import Metrics
from carrental_mlops.serving.vault import Opened


class FakeStore:
    """An online store (`serving.online_view.Store`): entity ids to rows, by view.

    Args:
        rows: view to id to (values in the view's order, seconds since 1970-01-01 UTC at which they were taken).
    """

    def __init__(self, rows: Mapping[str, Mapping[Any, Row]] | None = None) -> None:
        self.rows: dict[str, dict[Any, Row]] = {view: dict(of) for view, of in (rows or {}).items()}
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        """View and ids of each question."""
        self.down = False
        """True: it does not answer."""

    async def start(self) -> None:
        """Connect.

        Raises:
            PlatformError: `down`; retryable.
        """
        if self.down:
            raise PlatformError("the fake store is down", "store.down = False", retryable=True)

    async def stop(self) -> None:
        """Nothing to close."""

    async def fetch(self, asked: Sequence[tuple[OnlineView, Sequence[Any]]]) -> list[list[Row | None]]:
        """As `Store` says.

        Raises:
            Refusal: 422, an id that no key can hold.
            ConnectionError: `down`.
        """
        if self.down:
            raise ConnectionError("the fake store is down")
        found: list[list[Row | None]] = []
        for view, ids in asked:
            for identity in ids:
                view.key(identity)
            self.asked.append((view.view, tuple(ids)))
            found.append([self.rows.get(view.view, {}).get(identity) for identity in ids])
        return found


def view_of(view: str, entity: str, features: Sequence[str], text: bool = False) -> OnlineView:
    """How a view lies in a store that needs no keys: names alone; counts are 0 where an entity has no snapshot."""
    zero = tuple(name for name in features if name.startswith("count_"))
    return OnlineView(view, entity, tuple(features), zero, text, b"", b"", (), view)


class FakeReader(OnlineReader):
    """The real reader of stored features (`serving.endpoint.FeatureReader`) around a `FakeStore`: `reader.store`."""

    def __init__(self, store: FakeStore, views: Sequence[OnlineView], policy: OnlineFeatures | None = None) -> None:
        settings = policy or OnlineFeatures(budget_ms=5_000)
        super().__init__(store, views, settings, Metrics("fake", "1", "0" * 64))
        self.store = store

    @classmethod
    def of(cls, feature_set: type[FeatureSet], rows: Any) -> FakeReader:
        """A reader that knows the stored features of `rows`, as taken just now; an entity's first row counts.

        Args:
            feature_set: its `history` says which columns are stored, and by which entity.
            rows: a DataFrame with the entities and `view__feature` columns.
        """
        store, views, now = FakeStore(), [], time.time()
        for history in feature_set.history:
            names = history.features()
            ids = rows[history.entity].tolist()
            table = rows[[f"{history.view}__{name}" for name in names]].to_numpy(dtype=np.float64).tolist()
            known: dict[Any, Row] = {}
            for identity, values in zip(ids, table, strict=True):
                known.setdefault(identity, (values, now))
            store.rows[history.view] = known
            views.append(view_of(history.view, history.entity, names, any(isinstance(i, str) for i in ids)))
        return cls(store, views)

    async def read(self, values: Mapping[str, Sequence[Any]], rows: int) -> Stored:
        """As the real one."""
        return await super().read(values, rows)


class FakeTrail:
    """An audit trail (`serving.endpoint.Trail`): `kept` has the events, in order; `full` refuses further ones."""

    def __init__(self) -> None:
        self.kept: list[Event] = []
        self.full = False
        self.open = False

    async def start(self) -> None:
        """Make ready."""
        self.open = True

    async def stop(self) -> None:
        """Close."""
        self.open = False

    async def keep(self, event: Event) -> None:
        """The event is in `kept` when it returns.

        Raises:
            Refusal: 503, `full`.
        """
        if self.full:
            raise Refusal(503, "the answer cannot be put on record", cause="audit")
        self.kept.append(event)


class FakeSink:
    """Where the audit is sent (`serving.ship.Sink`): `events` has the lines, each CloudEvent once; `down` refuses."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.down = False

    def send(self, lines: Sequence[bytes]) -> None:
        """Take `lines`.

        Raises:
            PlatformError: `down`; retryable, and none was taken.
        """
        if self.down:
            raise PlatformError("the fake sink is down", "sink.down = False", retryable=True)
        self.lines += [line.rstrip(b"\n") for line in lines]


class FakeDoor:
    """Who asks (`serving.auth.Door`): bearer tokens to names."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)

    async def start(self) -> None:
        """Nothing to read."""

    async def caller(self, headers: Headers, client: Client) -> str:
        """The name of the bearer.

        Raises:
            Refusal: 401, no token or an unknown one.
        """
        name = self.names.get(bearer(headers).decode("latin-1"))
        if name is None:
            raise Refusal(401, "the token is not known")
        return name


class FakeVault:
    """Seals inputs (`serving.audit.Vault`) in memory: a line names the event alone, and only this vault opens it."""

    def __init__(self) -> None:
        self._sealed: dict[str, Opened] = {}

    def header(self) -> bytes:
        """The first line of a segment."""
        return b'{"key_id":"fake"}\n'

    def seal(self, event: Event) -> bytes:
        """The line of one event."""
        inputs = {name: list(values) for name, values in event.inputs.items()}
        self._sealed[event.event_id] = Opened(event.event_id, inputs, event.caller)
        return orjson.dumps({"event_id": event.event_id}) + b"\n"

    def open(self, segment: Path, wanted: Container[str] | None = None) -> Iterator[Opened]:
        """The inputs in the file `segment`, or those whose event id is `wanted`."""
        for line in segment.read_bytes().splitlines()[1:]:
            identity = orjson.loads(line)["event_id"]
            if wanted is None or identity in wanted:
                yield self._sealed[identity]


class FakeSwitch:
    """The kill switch (`serving.endpoint.Switch`): `order` answers instead of the model from the start.

    Args:
        order: what answers (`rules` or `constant`); None: the model.
    """

    def __init__(self, order: Order | None = None) -> None:
        self.order = order

    async def start(self, endpoint: Endpoint) -> None:
        """Set `endpoint.switched`."""
        endpoint.switched = FakeInstead(self.order) if self.order else None

    async def stop(self) -> None:
        """Nothing to end."""


class FakeInstead:
    """Answers instead of the model (`serving.endpoint.Instead`): the order's decision for every row.

    Args:
        order: says the decision.
    """

    def __init__(self, order: Order) -> None:
        self.order = order

    async def made(
        self, endpoint: Endpoint, rows: int, numbers: Mapping[str, Floats], values: Mapping[str, Sequence[Any]]
    ) -> Made:
        """The decision, score 1 where it blocks, the reason and the flag that say that it is switched."""
        said, blocks = f"switched:{self.order.to}", float(self.order.decision == "block")
        answer = Answer(np.full(rows, blocks), np.array([self.order.decision] * rows), (said,) * rows)
        return Made(answer, Stored({}, {}), (said,))


class FakeCounter:
    """A Prometheus counter (`serving.audit.Counter`): `value`."""

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Add `amount`.

        Raises:
            ValueError: it is negative.
        """
        if amount < 0:
            raise ValueError("Counters can only be incremented by non-negative amounts.")
        self.value += amount


class FakeDrops:
    """Counts events lost (`serving.audit.Drops`): `lost`, by cause."""

    def __init__(self) -> None:
        self.lost: dict[str, int] = {}

    def __call__(self, events: int, cause: str) -> None:
        """Add `events`."""
        self.lost[cause] = self.lost.get(cause, 0) + events
