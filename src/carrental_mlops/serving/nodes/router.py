"""Which child answers: by a header of the request, or by what was learnt of each (Thompson sampling)."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
from collections import OrderedDict
from typing import Any, ClassVar

from prometheus_client import Counter, Gauge
from pydantic import Field, field_validator

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.errors import DataError
from carrental_mlops.files import locked, whole_file
from carrental_mlops.serving.app import Reply
from carrental_mlops.serving.nodes.base import Asked, Call, Node, Place, document_of, reply
from carrental_mlops.serving.refusal import Refusal

_PAIR = r"\s*[^=,\s]+\s*=\s*[0-9]+\s*"
_REMEMBERED = 20_000
"""Requests whose child is remembered for their feedback."""


class Router(Node):
    """Answers `[child]`, its number in the graph's order."""

    kind = "router"
    calls: ClassVar[tuple[Call, ...]] = ("route",)

    class Settings(Frozen):
        """Between how many."""

        children: int = Field(default=2, ge=2)
        """How many there are."""

    def __init__(self, place: Place, settings: Any) -> None:
        super().__init__(place, settings)
        routed = Counter("crm_node_routed", "Requests by child", ("node", "child"), registry=place.registry)
        self._routed = [routed.labels(place.name, str(number)) for number in range(self.settings.children)]

    def child(self, asked: Asked) -> int:
        """The child that answers; a node of the repo's own may override it."""
        raise NotImplementedError

    async def answer(self, asked: Asked) -> Reply:
        """The child, as Seldon's executor reads it."""
        child = self.child(asked)
        self._routed[child].inc()
        return reply([child])


class _Table(Router.Settings):
    """Settings of a router by a table."""

    routes: str
    """Name to number of the child."""

    @field_validator("routes")
    @classmethod
    def _are_pairs(cls, text: str) -> str:
        return checked_pairs(text)

    def table(self) -> dict[str, int]:
        """Name to child."""
        return table_of(self.routes)


class HeaderRouter(Router):
    """By the value of one header; it stands in no log, metric or answer."""

    class Settings(_Table):
        """Which header, and which value goes where."""

        header: str = Field(pattern=r"^[A-Za-z0-9-]+$")
        """Name of the header; not case-sensitive."""
        routes: str
        """Value to number of the child, such as `old=0, new=1`; values are case-sensitive."""
        default: int = Field(default=0, ge=0)
        """Child of a request without the header, or with another value."""

    def __init__(self, place: Place, settings: Settings) -> None:
        super().__init__(place, settings)
        self._header = settings.header.lower().encode()
        self._table = {value.encode("latin-1"): child for value, child in settings.table().items()}

    def child(self, asked: Asked) -> int:
        """By the header."""
        return self._table.get(asked.headers.get(self._header, b""), int(self.settings.default))


class ModelRouter(Router):
    """By the model that the client asks for in his path, for one address of several models.

    Seldon's executor hands the name on to every node: behind this router, each model answers to its own.
    """

    class Settings(_Table):
        """Which model is where."""

        routes: str
        """Model to number of the child, such as `payments=0, payments-fr=1`."""

    def __init__(self, place: Place, settings: Settings) -> None:
        super().__init__(place, settings)
        self._table = settings.table()

    def models(self) -> tuple[str, ...]:
        """Those of `routes`."""
        return tuple(self._table)

    def child(self, asked: Asked) -> int:
        """By the path."""
        child = self._table.get(asked.model)
        if child is None:
            raise Refusal(404, "no such model")
        return child


class ThompsonRouter(Router):
    """A multi-armed bandit: each child's rate of success is drawn from its beta distribution, the highest answers.

    POST `/v2/models/NAME/feedback` with `{"route": 1, "reward": 1}`, or `{"id": "…", "reward": 0.5}` with the id that
    a request had when it was routed here not long ago. Rewards lie between 0 and 1 and count as that share of a
    success. What was learnt lies in `.crm/nodes/NAME/arms.json` before the feedback is answered, so that a restart
    keeps it; processes that share the folder share it. Ids are kept in memory only.

    Source: Chapelle and Li, An Empirical Evaluation of Thompson Sampling (2011), algorithm 2.
    """

    calls = ("route", "feedback")

    class Settings(Router.Settings):
        """How much is believed before the first feedback."""

        prior: float = Field(default=1, gt=0)
        """Successes and failures that each child begins with."""
        seed: int | None = None
        """Of the draws, for tests; unset: another each time."""

    def __init__(self, place: Place, settings: Settings) -> None:
        super().__init__(place, settings)
        self._draws = random.Random(settings.seed)  # noqa: S311  no secret
        self._arms = [[0.0, 0.0] for _ in range(settings.children)]
        self._children: OrderedDict[str, int] = OrderedDict()
        self._path, self._read_at = place.state / "arms.json", -1
        rates = Gauge("crm_node_reward", "Mean reward of a child", ("node", "child"), registry=place.registry)
        self._rates = [rates.labels(place.name, str(number)) for number in range(settings.children)]
        self._fed = Counter("crm_node_feedback", "Feedback taken", ("node",), registry=place.registry).labels(
            place.name
        )

    async def start(self) -> None:
        """Read what was learnt."""
        self._refresh()

    def child(self, asked: Asked) -> int:
        """By a draw."""
        self._refresh()
        prior = self.settings.prior
        drawn = [self._draws.betavariate(prior + good, prior + bad) for good, bad in self._arms]
        child = max(range(len(drawn)), key=drawn.__getitem__)
        identity = _id_of(asked.body)
        if identity is not None:
            self._children[identity] = child
            while len(self._children) > _REMEMBERED:
                self._children.popitem(last=False)
        return child

    async def answer(self, asked: Asked) -> Reply:
        """A child, or that the feedback is kept."""
        if asked.call == "route":
            return await super().answer(asked)
        child, reward = self._told(document_of(asked.body))
        await asyncio.to_thread(self._learn, child, reward)
        self._fed.inc()
        return reply({"route": child, "kept": True})

    def _told(self, document: Any) -> tuple[int, float]:
        if type(document) is not dict:
            raise Refusal(400, "feedback wants an object with `route` or `id`, and `reward`")
        reward: Any = document.get("reward")
        child: Any = document.get("route")
        if type(reward) not in (int, float) or not 0 <= reward <= 1:
            raise Refusal(422, "`reward` wants a number between 0 and 1", "reward")
        if child is None:
            identity = document.get("id")
            child = self._children.pop(identity, None) if isinstance(identity, str) else None
            if child is None:
                raise Refusal(404, "no such request was routed here lately; send `route`", "id")
        if type(child) is not int or not 0 <= child < self.settings.children:
            raise Refusal(422, f"`route` wants a whole number below {self.settings.children}", "route")
        return child, float(reward)

    def _learn(self, child: int, reward: float) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._path.with_suffix(".lock"), timeout_s=5):
            self._read_at = -1
            self._refresh()
            arms = [list(arm) for arm in self._arms]
            arms[child] = [arms[child][0] + reward, arms[child][1] + 1 - reward]
            with whole_file(self._path) as draft:
                draft.write_text(json.dumps({"arms": arms}))
            self._arms, self._read_at = arms, self._path.stat().st_mtime_ns
        self._tell()

    def _refresh(self) -> None:
        """Read the file again where another process has written it.

        Raises:
            DataError: it holds something else.
        """
        try:
            written = self._path.stat().st_mtime_ns
            if written == self._read_at:
                return
            arms = json.loads(self._path.read_text())["arms"]
            if len(arms) != self.settings.children or not all(math.isfinite(n) and n >= 0 for arm in arms for n in arm):
                raise ValueError("other children")
            self._arms, self._read_at = [[float(good), float(bad)] for good, bad in arms], written
            self._tell()
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError) as error:
            fix = "remove it: the bandit then begins anew"
            raise DataError(f"{self._path} is not what {self.settings.children} children left: {error}", fix) from None

    def _tell(self) -> None:
        for gauge, (good, bad) in zip(self._rates, self._arms, strict=True):
            gauge.set(good / (good + bad) if good + bad else math.nan)


def checked_pairs(text: str) -> str:
    """`text` where it is pairs such as `old=0, new=1`.

    Raises:
        ValueError: it is not.
    """
    if not re.fullmatch(rf"{_PAIR}(,{_PAIR})*", text):
        raise ValueError("wants pairs such as `old=0, new=1`")
    return text


def table_of(pairs: str) -> dict[str, int]:
    """Name to number of what `checked_pairs` has let pass."""
    split = (pair.split("=") for pair in pairs.split(","))
    return {name.strip(): int(child) for name, child in split}


def _id_of(body: bytes) -> str | None:
    document = document_of(body)
    identity = document.get("id") if isinstance(document, dict) else None
    return identity if isinstance(identity, str) and len(identity) <= 128 else None
