"""A release's model scored again before it is promoted: on the historical holdout, and on the newest labelled rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.core.runner import run_in_process
from carrental_mlops.data.measures.metrics import Scored, bootstrap, point
from carrental_mlops.data.model import Model
from carrental_mlops.errors import DataError
from carrental_mlops.integrations.mlflow_registry import Registry, registry_for
from carrental_mlops.steps.gate import GateConfig

NEWEST_DAYS = 28.0
"""Length of the newest labelled window (days)."""
_RESAMPLES, _TAIL = 500, 0.025
_LEAST = 10
"""Rows of each class without which a window says nothing."""


@dataclass(frozen=True)
class Difference:
    """One metric of one window: the candidate's gain over the champion, positive where it is better."""

    window: str
    metric: str
    rows: int
    candidate: float
    champion: float
    low: float
    high: float
    """Ends of the 95 % interval of the gain (paired bootstrap)."""
    loss: float
    """That crm.yaml declares to be bearable (`steps.gate.no_worse_than_champion`)."""

    @property
    def beyond(self) -> bool:
        """Whether the whole interval is worse than the declared loss."""
        return self.high < -self.loss

    def said(self) -> str:
        """One line."""
        return (
            f"{self.window}: {self.metric} {self.candidate:.4g}, champion {self.champion:.4g} on {self.rows} rows; "
            f"gain {self.low:+.4g} to {self.high:+.4g}, {self.loss:g} worse is allowed"
        )


def compare(repo: ModelRepo, candidate: str, champion: str, say: Callable[[str], None]) -> list[Difference]:
    """Every metric that crm.yaml guards, on the holdout and on the newest labelled window.

    Args:
        repo: as the environment sees it; its source is read anew.
        candidate: version of the release's model.
        champion: version that answers now.
        say: shows progress.

    Raises:
        DataError: the rows have no labels of both kinds, or a model cannot score them.
        PlatformError: the registry does not answer.
    """
    say("scoring the release and the champion: reading rows")
    windows = _windows(repo)
    registry = registry_for(repo.context())
    with tempfile.TemporaryDirectory(prefix="crm-promote-") as scratch:
        models = {
            name: _model(registry, version, Path(scratch) / name)
            for name, version in (("candidate", candidate), ("champion", champion))
        }
        return [one for name, rows in windows.items() for one in _differences(name, rows, models, repo)]


def _windows(repo: ModelRepo) -> dict[str, pd.DataFrame]:
    """`holdout` and `newest labelled`: rows that no model fitted on this split saw."""
    pipeline = repo.pipeline("training")
    summary = run_in_process(pipeline, repo.step_configs(pipeline), repo.context(), until="split")
    split, rows = summary.load("split"), summary.load("features")
    columns = repo.config.columns
    unseen = rows.drop(index=split.train.index.union(split.tune.index))
    labelled = unseen[unseen[columns.label].notna()]
    times = pd.to_datetime(labelled[columns.time], utc=True)
    newest = labelled[times >= times.max() - pd.Timedelta(days=NEWEST_DAYS)]
    windows = {"holdout": split.test, "newest labelled": newest}
    for name, found in windows.items():
        least = found[columns.label].value_counts().reindex([0, 1], fill_value=0).min()
        if least < _LEAST:
            what = f"the {name} window of {len(found)} rows has {least} of one class; {_LEAST} are needed"
            raise DataError(what, "wait for labels, or look at the source")
    return windows


def _model(registry: Registry, version: str, folder: Path) -> Model:
    return Model.load(registry.fetch(version, folder), registry.version(version).digest)


def _rules(repo: ModelRepo) -> GateConfig:
    config = repo.step_configs(repo.pipeline("training"))["gate"]
    return config if isinstance(config, GateConfig) else GateConfig()


def _differences(window: str, rows: pd.DataFrame, models: Mapping[str, Model], repo: ModelRepo) -> list[Difference]:
    rules = _rules(repo)
    known = rows[repo.config.columns.label].to_numpy(dtype=np.float64)
    scored = {name: Scored(known, model.score(rows), model.threshold) for name, model in models.items()}
    samples, points = bootstrap(scored, _RESAMPLES, repo.config.seed), {n: point(s) for n, s in scored.items()}
    found = []
    for metric, loss in rules.no_worse_than_champion.items():
        if metric not in points["candidate"]:
            continue
        sign = -1 if metric in rules.lower_is_better else 1
        gains = sign * (samples["candidate"][metric] - samples["champion"][metric])
        low, high = np.nanquantile(gains, [_TAIL, 1 - _TAIL])
        values = (points["candidate"][metric], points["champion"][metric])
        found.append(Difference(window, metric, len(rows), *values, float(low), float(high), loss))
    return found
