"""Several models' answers to one request, made one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.core.arrays import Floats
from carrental_mlops.serving.app import Reply
from carrental_mlops.serving.nodes.base import Asked, Node, document_of, reply
from carrental_mlops.serving.refusal import Refusal

_RULE = "rule:"


@dataclass(frozen=True)
class _Child:
    scores: Floats
    decisions: list[str]
    reasons: list[str]
    flags: list[str]
    version: str
    id: str | None


class Combiner(Node):
    """The children's scores, made one by `combined`; their flags are kept.

    The decision: with `threshold`, `block` from it up and else `accept`; without, the one that most children gave,
    between equals that of the child whose score is nearest to the combined one. A row that a child's business rule
    blocked stays blocked. The reason is that of the nearest child among those with this decision.
    """

    kind = "combiner"
    calls = ("aggregate",)

    class Settings(Frozen):
        """When a combined score blocks."""

        threshold: float | None = Field(default=None, ge=0, le=1)
        """Probability from which a row is blocked; unset: the children's decisions are counted."""

    def combined(self, *, scores: Floats) -> Floats:
        """(n,) scores of (children, n) ones; a node of the repo's own may override it."""
        raise NotImplementedError

    async def answer(self, asked: Asked) -> Reply:
        """One reply of the children's."""
        children = [_read(told) for told in _listed(document_of(asked.body))]
        if len({child.scores.shape for child in children}) != 1:
            raise Refusal(422, "the children's replies differ in their number of rows")
        every = np.stack([child.scores for child in children])
        scores = np.asarray(self.combined(scores=every), dtype=np.float64)
        if scores.shape != every.shape[1:]:
            raise Refusal(500, "the combiner made another number of scores")
        chosen = [self._decided(children, row, float(score)) for row, score in enumerate(scores)]
        flags = list(dict.fromkeys(flag for child in children for flag in child.flags))
        ids = list(dict.fromkeys(child.id for child in children if child.id))
        told = {
            "model_name": self.place.name,
            "model_version": "+".join(child.version for child in children),
            "id": ids[0] if ids else None,
            "outputs": [
                {"name": "score", "shape": [len(scores)], "datatype": "FP64", "data": scores},
                {"name": "decision", "shape": [len(scores)], "datatype": "BYTES", "data": [d for d, _ in chosen]},
                {"name": "reason", "shape": [len(scores)], "datatype": "BYTES", "data": [r for _, r in chosen]},
            ],
        }
        parameters: dict[str, Any] = {"flags": flags} if flags else {}
        if len(ids) > 1:  # the client sent none, so each child's audit has its own
            parameters["ids"] = ids
        return reply({**told, "parameters": parameters} if parameters else told)

    def _decided(self, children: Sequence[_Child], row: int, score: float) -> tuple[str, str]:
        """Decision and reason of one row."""
        for child in children:
            if child.reasons[row].startswith(_RULE):
                return child.decisions[row], child.reasons[row]
        away = {number: abs(child.scores[row] - score) for number, child in enumerate(children)}
        votes: dict[str, list[int]] = defaultdict(list)
        for number, child in enumerate(children):
            votes[child.decisions[row]].append(number)
        if self.settings.threshold is not None:
            decision = "block" if score >= self.settings.threshold else "accept"
        else:
            decision = min(votes, key=lambda given: (-self._weight(votes[given]), min(away[n] for n in votes[given])))
        nearest = min(votes.get(decision, ()), key=lambda number: away[number], default=None)
        return decision, "" if nearest is None else children[nearest].reasons[row]

    def _weight(self, children: Sequence[int]) -> float:
        return len(children)


class Mean(Combiner):
    """The mean score."""

    def combined(self, *, scores: Floats) -> Floats:
        """The mean."""
        return np.asarray(scores.mean(axis=0))


class Median(Combiner):
    """The median score: one model that errs does not move it."""

    def combined(self, *, scores: Floats) -> Floats:
        """The median."""
        return np.asarray(np.median(scores, axis=0))


class Weighted(Combiner):
    """The mean score, and the vote, by weights."""

    class Settings(Combiner.Settings):
        """How much each child counts."""

        weights: str
        """A number for each child in their order, such as `0.5, 0.3, 0.2`; of any sum."""

        @field_validator("weights")
        @classmethod
        def _are_numbers(cls, text: str) -> str:
            weights = [float(part) for part in text.split(",")]
            if not all(0 <= weight < float("inf") for weight in weights) or not sum(weights):
                raise ValueError("wants numbers from 0 up, not all 0, with commas between")
            return text

    @property
    def weights(self) -> Floats:
        """(children,)."""
        return np.array([float(part) for part in self.settings.weights.split(",")])

    async def start(self) -> None:
        """Read the weights."""
        self._weights = self.weights

    def combined(self, *, scores: Floats) -> Floats:
        """The weighted mean."""
        if len(self._weights) != len(scores):
            raise Refusal(500, f"{len(scores)} children, but {len(self._weights)} weights")
        return np.asarray(self._weights @ scores / self._weights.sum())

    def _weight(self, children: Sequence[int]) -> float:
        return float(sum(self._weights[number] for number in children))


def _listed(document: Any) -> list[Any]:
    if type(document) is not list or not document:
        raise Refusal(400, "the body wants a list of the children's replies")
    return document


def _read(told: Any) -> _Child:
    try:
        outputs = {tensor["name"]: tensor["data"] for tensor in told["outputs"]}
        scores = np.asarray(outputs["score"], dtype=np.float64)
        decisions, reasons = list(map(str, outputs["decision"])), list(map(str, outputs["reason"]))
        flags = list(map(str, (told.get("parameters") or {}).get("flags", ())))
        version, identity = str(told.get("model_version", "")), told.get("id")
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Refusal(422, "a child's reply wants outputs score, decision and reason, in JSON") from None
    if scores.ndim != 1 or not (len(scores) == len(decisions) == len(reasons)) or not np.isfinite(scores).all():
        raise Refusal(422, "a child's reply wants one score, decision and reason a row")
    return _Child(scores, decisions, reasons, flags, version, identity if isinstance(identity, str) else None)
