"""Stored features go through the audit to the replay with every bit, missing ones too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from audit_parts import kept
from audit_repo import make_bundle, make_repo, model_of, payment_of

from carrental_mlops.config import load
from carrental_mlops.config.reader import repo_config
from carrental_mlops.serving import protocol
from carrental_mlops.serving.endpoint import Stored
from carrental_mlops.serving.load import Bundle, open_app
from carrental_mlops.serving.replay import Pick, replay


class Drawn:
    """Reads made-up features, some of them missing."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def read(self, values: Mapping[str, Sequence[Any]], rows: int) -> Stored:
        drawn = self._rng.uniform(0, 1, rows) ** 5
        return Stored({"customer_history__count_7d": np.where(drawn < 0.01, np.nan, drawn)}, {"customer_history": 5.0})


async def _answer(root: Path, bundle: Path) -> None:
    endpoint = open_app(root, bundle, sets=("serving.features.source=request",)).endpoint
    endpoint.reader = Drawn()
    await endpoint.start()
    for number in range(100):
        body = orjson.dumps(payment_of(number, 500.0))
        await endpoint.answer(protocol.read(body, endpoint.signature.names, 100), 1e12)
    await endpoint.stop()


def test_a_replay_reads_the_features_of_that_time(tmp_path: Path) -> None:
    root = make_repo(tmp_path / "repo")
    service = next(root.glob("src/*/service.py"))
    service.write_text(
        service.read_text()
        .replace("Arrays, FeatureSet", "Arrays, FeatureSet, History")
        .replace(
            "    request = (",
            '    history = (History(view="customer_history", entity="customer_id", days=(7,)),)\n    request = (',
        )
    )
    model = model_of(0)
    stored = type(model)(model.estimator, ("amount_eur", "customer_history__count_7d"), None, 0.5)
    bundle = make_bundle(tmp_path / "1", stored)
    asyncio.run(_answer(root, bundle))
    events = kept(root / ".crm" / "audit")
    features = [event["data"]["features"]["customer_history__count_7d"][0] for event in events]
    assert None in features
    assert len(set(features)) > 50
    told = replay(root, repo_config(load(root)), Bundle.read(bundle), None, Pick())
    assert (told.events, told.rescored, told.changes, told.refused) == (100, 0, [], {})
