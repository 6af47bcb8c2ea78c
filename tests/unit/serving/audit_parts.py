"""What the tests of the audit share: events, a trail in a folder, and what lies there."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from carrental_mlops.serving.audit import BestEffortTrail, DurableTrail, Inputs
from carrental_mlops.serving.audit_event import Rendering
from carrental_mlops.serving.endpoint import Event, Identity
from carrental_mlops.serving.segments import Segments, lines, segments
from carrental_mlops.serving.service import Answer
from carrental_mlops.serving.telemetry import Metrics
from carrental_mlops.serving.vault import FileVault, new_key

IDENTITY = Identity("payments", "3", "d" * 64)
_numbers = itertools.count()


def event_of(
    inputs: Mapping[str, Sequence[Any]] | None = None, caller: str | None = None, trace: str | None = None
) -> Event:
    """One answered row."""
    n = next(_numbers)
    return Event(
        id=f"request-{n}",
        event_id=f"event-{n}",
        time=time.time(),
        inputs={"iban": ["DE02"], "amount_eur": [120.5]} if inputs is None else inputs,
        features={"customer_history__count_7d": np.array([3.0])},
        ages={"customer_history": 60.0},
        answer=Answer(np.array([0.25]), np.array(["accept"]), ("",)),
        flags=(),
        trace=trace,
        caller=caller,
    )


def metrics_of() -> Metrics:
    """Fresh counters."""
    return Metrics(IDENTITY.name, IDENTITY.version, IDENTITY.digest)


def key_file(folder: Path) -> Path:
    """A new master key."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"key-{next(_numbers)}"
    path.write_bytes(new_key())
    return path


def inputs_of(folder: Path, key: Path, limit: int = 1 << 20) -> Inputs:
    """Where sealed inputs go."""
    vault = FileVault(key)
    return Inputs(vault, Segments(folder, "inputs", limit, 60, vault.header))


def durable(folder: Path, metrics: Metrics, inputs: Inputs | None = None, limit: int = 1 << 20) -> DurableTrail:
    """A trail that writes before the answer."""
    return DurableTrail(Rendering(IDENTITY), metrics.written, Segments(folder, "events", limit, 60), inputs)


def best_effort(folder: Path, metrics: Metrics, queue: int, inputs: Inputs | None = None) -> BestEffortTrail:
    """A trail that never waits."""
    events = Segments(folder, "events", 1 << 20, 60)
    return BestEffortTrail(Rendering(IDENTITY), metrics.written, metrics.dropped, queue, events, inputs)


def kept(folder: Path) -> list[dict[str, Any]]:
    """Every event in `folder`, oldest file first."""
    return [orjson.loads(line) for path in segments(folder, "events") for line in lines(path)]


def counted(metrics: Metrics, name: str) -> float:
    """The value of a counter, over all its labels."""
    lines = [line for line in metrics.text().decode().splitlines() if line.startswith(f"{name}_total{{")]
    if not lines:
        raise LookupError(name)
    return sum(float(line.rpartition(" ")[2]) for line in lines)
