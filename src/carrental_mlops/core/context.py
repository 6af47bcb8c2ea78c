"""What a step may ask of its run."""

from __future__ import annotations

import logging
import random
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

OnProgress = Callable[[str, int, int | None], None]
"""(label, done, total) of a long loop, at most once a second."""

_EVERY_S = 1.0
SEED = "seed"
"""The param that every step records."""


_LOG = logging.getLogger("carrental_mlops")
_LOG.setLevel(logging.INFO)  # ZenML raises the root's level to CRITICAL, which would silence a warning


@dataclass(frozen=True)
class Dataset:
    """A table that a run read or made; plain values, so that it can be kept beside a cached step."""

    digest: str
    """sha256 (hex) of the content."""
    rows: int
    columns: Mapping[str, str]
    """Name to dtype."""
    source: str
    """Where it came from, without a password."""
    role: str
    """What it is for, such as `training` or `evaluation`; MLflow's context of an input."""


@dataclass
class Context:
    """One step's view of its run; the engine makes it and, after the step, stores what was recorded.

    `stores` is False for an in-process run: steps then read what others stored but write nothing outside the run.
    """

    run_id: str = "in-process"
    pipeline: str = ""
    step: str = ""
    service: str = "unnamed"
    env: str = "local"
    seed: int = 0
    root: Path = field(default_factory=Path.cwd)
    """The model repo."""
    stores: bool = False
    tracking_uri: str | None = None
    """MLflow's, where MLFLOW_TRACKING_URI is not set; None is the repo's store in `.crm/`."""
    log: logging.Logger = field(default_factory=lambda: _LOG)
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    artefacts: dict[str, Path] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    on_progress: OnProgress | None = None
    """Called instead of the log."""
    _folder: Path | None = field(default=None, init=False, repr=False, compare=False)
    """Where artefacts are written, made for the first."""

    def metric(self, name: str, value: float) -> None:
        """Record `value` under `name` for the report, the gate and MLflow."""
        self.metrics[name] = float(value)

    def param(self, name: str, value: object) -> None:
        """Record a setting that the step chose by itself."""
        self.params[name] = str(value)

    def dataset(self, name: str, dataset: Dataset) -> None:
        """Record a table that the run read or made, under `name`, for MLflow's list of data sets."""
        self.datasets[name] = dataset

    def artefact(self, name: str) -> Path:
        """A path to write one file to, such as `report.html`; the engine stores the file under `name`.

        What the engine does not store is gone with this Context, at the latest when the process ends.
        """
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="crm-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self.artefacts[name] = self._folder / name
        return self.artefacts[name]

    def progress(self, items: Iterable[T], total: int | None = None, label: str = "") -> Iterator[T]:
        """The items, told about as they go by, at most once a second.

        Args:
            items: what a loop runs over.
            total: how many there are; taken from `items` where it has a length.
            label: what is counted, such as `trials`; the step's name by default.
        """
        total = len(items) if total is None and isinstance(items, Sized) else total
        told, done = time.monotonic(), 0
        for done, item in enumerate(items, start=1):
            yield item
            if time.monotonic() - told >= _EVERY_S:
                self._tell(label or self.step, done, total)
                told = time.monotonic()

    def _tell(self, label: str, done: int, total: int | None) -> None:
        if self.on_progress is not None:
            self.on_progress(label, done, total)
        else:
            self.log.info("%s: %s%s", label, done, f" of {total}" if total else "")

    def seed_everything(self) -> None:
        """Set `random` and, where it is loaded, numpy to `seed`, and record it; each engine does so before a step."""
        random.seed(self.seed)
        if numpy := sys.modules.get("numpy"):
            numpy.random.seed(self.seed % 2**32)
        self.param(SEED, self.seed)

    @property
    def state(self) -> Path:
        """The repo's own store, ignored by git: ZenML, MLflow, Feast, quarantine, reports."""
        return self.root / ".crm"
