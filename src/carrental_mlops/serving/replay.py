"""Decisions made again, offline: the sealed inputs and the stored features of that time, under any model version."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from carrental_mlops.config import RepoConfig
from carrental_mlops.data.model import Model
from carrental_mlops.errors import DataError
from carrental_mlops.serving.audit_log import Window, asked, events, find
from carrental_mlops.serving.load import Bundle, service_of, signature_of
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.service import Answer, ModelService
from carrental_mlops.serving.signature import Signature


@dataclass(frozen=True)
class Pick:
    """Which decisions are made again."""

    name: str | None = None
    """Id of an event or a request; None for those of `window`."""
    window: Window = field(default_factory=Window)
    sample: int | None = None
    """So many of them by chance; None for all."""
    seed: int = 0

    def chosen(self, folder: Path) -> list[dict[str, Any]]:
        """Their events, oldest first.

        Args:
            folder: of the audit.

        Raises:
            DataError: there is none of that name.
        """
        found: Iterable[dict[str, Any]] = find(folder, self.name) if self.name else events(folder, self.window)
        if self.sample is not None:
            chance = random.Random(self.seed)  # noqa: S311  a sample, not a secret
            drawn = heapq.nlargest(self.sample, ((chance.random(), n, event) for n, event in enumerate(found)))
            found = [event for _, _, event in drawn]
        return sorted(found, key=lambda event: (event["time"], event["id"]))


@dataclass(frozen=True)
class ChangedDecision:
    """One row that is decided otherwise."""

    event_id: str
    request: str
    time: str
    row: int
    """Place in its request, from 0."""
    version: str
    """That decided then."""
    score: float
    decision: str
    new_score: float
    new_decision: str
    amount_eur: float | None
    """None where crm.yaml names no amount, or the request held none."""


@dataclass
class Comparison:
    """What another version changes."""

    version: str
    events: int = 0
    rows: int = 0
    rescored: int = 0
    """Rows with another score, whatever was decided."""
    without_input: int = 0
    """Events whose input was not kept, or not any more."""
    refused: Counter[str] = field(default_factory=Counter)
    """Why an event could not be answered again, to how many."""
    changes: list[ChangedDecision] = field(default_factory=list)

    def stakes(self) -> dict[str, dict[str, float]]:
        """`old -> new` to `rows` and `amount_eur`, the sum of the amounts that are known."""
        found: dict[str, dict[str, float]] = {}
        for change in self.changes:
            stake = found.setdefault(f"{change.decision} -> {change.new_decision}", {"rows": 0, "amount_eur": 0.0})
            stake["rows"] += 1
            stake["amount_eur"] += change.amount_eur or 0.0
        return found


def replay(root: Path, config: RepoConfig, bundle: Bundle, key_file: Path | None, pick: Pick) -> Comparison:
    """What the model of `bundle`, behind the repo's service as it is now, decides of past requests.

    Args:
        root: of the model repo.
        config: of the repo.
        bundle: the model.
        key_file: opens the inputs; None for the one that crm.yaml names.
        pick: which requests.

    Raises:
        ConfigError: the repo's service, or the key.
        DataError: no such event; a file of the audit or of the model was changed.
    """
    service = service_of(root, config)
    answering, signature = service(Model.load(bundle.folder, bundle.identity.digest)), signature_of(service, config)
    chosen = {event["id"]: event for event in pick.chosen(root / config.serving.audit.folder)}
    inputs = asked(root, config, key_file, chosen.values())
    result = Comparison(bundle.identity.version)
    for name, event in chosen.items():
        if name not in inputs:
            result.without_input += 1
            continue
        try:
            fields = inputs[name].inputs
            _compare(result, event, fields, _answer(answering, signature, event, fields), config)
        except (Refusal, DataError) as error:
            result.refused[error.message if isinstance(error, Refusal) else error.what] += 1
    return result


def _answer(service: ModelService, signature: Signature, event: dict[str, Any], inputs: dict[str, Any]) -> Answer:
    numbers, _ = signature.check(inputs, len(event["data"]["score"]))
    stored = {name: np.array(values, dtype=np.float64) for name, values in event["data"]["features"].items()}
    return service.answer({**numbers, **stored})


def _compare(
    result: Comparison, event: dict[str, Any], inputs: dict[str, Any], answer: Answer, config: RepoConfig
) -> None:
    data = event["data"]
    amounts: Sequence[Any] = inputs.get(config.columns.amount or "") or [None] * len(data["score"])
    before = zip(data["score"], data["decision"], strict=True)
    after = zip(answer.scores.tolist(), answer.decisions.tolist(), strict=True)
    result.events += 1
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        result.rows += 1
        result.rescored += old[0] != new[0]
        if old[1] != new[1]:
            amount = None if amounts[row] is None else float(amounts[row])
            of = (event["id"], data["request"], event["time"], row, data["model"]["version"])
            result.changes.append(ChangedDecision(*of, *old, *new, amount))
