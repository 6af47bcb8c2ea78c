"""What detectors are fed with: the audit's masked CloudEvents, as the http sink of `crm audit ship` posts them.

What a detector has seen lies in `.crm/nodes/NAME/state.json` before a batch is answered, and a restart goes on there.
Raw requests are refused: Seldon's payload logger sends those, so it stays off. An event with a field in the clear that
`serving.audit.clear` does not name is refused too, with its whole batch, and nothing of it is kept.
"""

from __future__ import annotations

import asyncio
import hmac
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from prometheus_client import Counter

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.core.arrays import Floats
from carrental_mlops.errors import ConfigError, DataError, PlatformError
from carrental_mlops.files import whole_file
from carrental_mlops.serving.app import Reply
from carrental_mlops.serving.audit_event import MASK, TYPE
from carrental_mlops.serving.nodes.base import Asked, Node, Place, document_of, reply
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.ship import HttpSink

EVENT_TYPES = (b"application/cloudevents-batch+json", b"application/cloudevents+json")
SCORE = "score"
_SEEN = 100_000
"""Events whose ids are remembered, since the shipper may send some twice."""
_SEEN_ON_DISK = 5_000
"""Of these, what a restart remembers: a batch that was not answered comes again."""


class Receiver(Node):
    """Takes batches of events at POST `/events` and hands the numbers in them to `take`."""

    calls = ("events",)
    own_door = True

    class Settings(Frozen):
        """What is watched, and who may send."""

        fields: str | None = None
        """Numeric fields in the clear and stored features that are watched besides the score, with commas between;
        unset: all but id, time and entities."""
        token_file: str | None = None
        """File with the bearer token that the shipper must send, relative to the repo; unset: whoever reaches the
        node, which its network policy decides."""
        forward_to: str | None = None
        """Where each batch goes next, as the audit has one sink; it has a batch before we say that we have."""

    def __init__(self, place: Place, settings: Any) -> None:
        super().__init__(place, settings)
        config = place.config
        self._clear = frozenset(config.serving.audit.clear)
        columns = config.columns
        self._unwatched = {columns.id, columns.time, columns.label, *columns.entities}
        self._wanted = None if settings.fields is None else {part.strip() for part in settings.fields.split(",")}
        self._token = _token(place, settings.token_file)
        self._next = HttpSink(settings.forward_to, self._token) if settings.forward_to else None
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._state = place.state / "state.json"
        told = Counter(
            "crm_detector_events", "Events by what became of them", ("node", "what"), registry=place.registry
        )
        self._counted = {w: told.labels(place.name, w) for w in ("taken", "again", "refused")}

    @abstractmethod
    def take(self, identity: str, version: str, columns: Mapping[str, Floats]) -> None:
        """Look at one event.

        Args:
            identity: of the event, made by the service.
            version: of the model that answered.
            columns: (n,) numbers of the score and of each watched field, NaN where missing.
        """

    @abstractmethod
    def kept(self) -> dict[str, Any]:
        """What `resume` goes on with, as orjson can write it."""

    @abstractmethod
    def resume(self, told: Mapping[str, Any]) -> None:
        """Go on where the process that `kept` this was.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it is something else.
        """

    async def start(self) -> None:
        """Go on where the process before stopped.

        Raises:
            DataError: the file holds something else.
        """
        try:
            told = orjson.loads(self._state.read_bytes())
            self._seen.update(dict.fromkeys(map(str, told["seen"])))
            self.resume(told["kept"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"{self._state} is not what node `{self.place.name}` left: {type(error).__name__}"
            raise DataError(what, "remove it: what was seen since the reference is then forgotten") from None

    async def answer(self, asked: Asked) -> Reply:
        """How many events were new, once the next receiver has them all and what was seen is on disk."""
        self._hold_token(asked)
        events = self._masked(document_of(asked.body))
        if self._next:
            lines = [orjson.dumps(event) for event in events]
            try:
                await asyncio.to_thread(self._next.send, lines)
            except PlatformError:
                raise Refusal(503, "the next receiver does not take the events") from None
        fresh = [event for event in events if event["id"] not in self._seen]
        for event in fresh:
            self._remember(event["id"])
            self.take(event["id"], str(event["data"]["model"]["version"]), self._numbers(event["data"]))
        if fresh:
            self._write()
        self._counted["taken"].inc(len(fresh))
        self._counted["again"].inc(len(events) - len(fresh))
        return reply({"taken": len(fresh)})

    def _write(self) -> None:
        told = {"seen": [*self._seen][-_SEEN_ON_DISK:], "kept": self.kept()}
        try:
            with whole_file(self._state) as draft:
                draft.write_bytes(orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY))
        except PlatformError:
            raise Refusal(503, "what was seen cannot be written") from None

    def _masked(self, document: Any) -> list[dict[str, Any]]:
        """The events, or a refusal of them all."""
        events = document if type(document) is list else [document]
        for event in events:
            if (what := self._wrong(event)) is not None:
                self._counted["refused"].inc(len(events))
                raise Refusal(422, what)
        return events

    def _wrong(self, event: Any) -> str | None:
        try:
            if event["type"] != TYPE:
                return f"an event is not of type {TYPE}; raw requests are not taken"
            data = event["data"]
            if any(value != MASK for name, value in data["inputs"].items() if name not in self._clear):
                return "an event holds a field in the clear that serving.audit.clear does not name"
            if type(event["id"]) is not str or type(data["score"]) is not list or not data["model"]["version"]:
                return "an event has no id, no version or no scores"
            if _floats(data["score"]) is None:
                return "an event's scores are no numbers"
        except (KeyError, TypeError, AttributeError):
            return "an event is not one of the audit's"
        return None

    def _numbers(self, data: Mapping[str, Any]) -> dict[str, Floats]:
        columns: dict[str, Floats | None] = {SCORE: _floats(data["score"])}
        for name, values in {**data["inputs"], **(data.get("features") or {})}.items():
            if name not in self._unwatched and (self._wanted is None or name in self._wanted):
                columns[name] = _floats(values)
        rows = len(data["score"])
        return {name: column for name, column in columns.items() if column is not None and len(column) == rows}

    def _remember(self, identity: str) -> None:
        self._seen[identity] = None
        while len(self._seen) > _SEEN:
            self._seen.popitem(last=False)

    def _hold_token(self, asked: Asked) -> None:
        if self._token is None:
            return
        sent = asked.headers.get(b"authorization", b"")
        if not hmac.compare_digest(sent, b"Bearer " + self._token.encode()):
            raise Refusal(401, "the shipper's token was expected")


def _floats(values: Any) -> Floats | None:
    """(n,) numbers; None where these are none, such as a mask or texts."""
    if type(values) is not list or not {int, float, bool, type(None)}.issuperset(map(type, values)):
        return None
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _token(place: Place, path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return (place.root / path).read_text().strip()
    except OSError as error:
        fix = "mend `token_file` of the node"
        raise ConfigError(f"node `{place.name}`: {place.root / path}: {error.strerror}", fix) from None


class Window:
    """The newest rows of a column.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        self._values = np.empty(size)
        self._count = 0

    def __len__(self) -> int:
        return min(self._count, len(self._values))

    def add(self, values: Sequence[float] | Floats) -> None:
        """Further values, the oldest of which make room."""
        for value in values:
            self._values[self._count % len(self._values)] = value
            self._count += 1

    @property
    def values(self) -> Floats:
        """(n,), in no order."""
        return self._values[: len(self)]

    @property
    def oldest_first(self) -> Floats:
        """(n,)."""
        return np.roll(self._values, -self._count) if self._count > len(self._values) else self.values
