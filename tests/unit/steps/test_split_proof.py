"""No part of a split knows another's future."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.errors import ContractError, DataError
from carrental_mlops.steps.split import Split, SplitConfig, SplitStep
from carrental_mlops.steps.tables import FeatureRows

N = 1200


def _rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    at = pd.date_range("2026-01-01", periods=N, freq="2h", tz="UTC")
    return pd.DataFrame({"id": range(N), "at": at, "who": rng.integers(0, 60, N), "y": np.arange(N) % 3 == 0}).astype(
        {"y": int}
    )


def _split(
    step: type[SplitStep] = SplitStep, rows: pd.DataFrame | None = None, delay: int = 7, **settings: Any
) -> Split:
    columns = Columns(id="id", time="at", label="y", entities=("who",), label_delay_days=delay)
    return step(SplitConfig(columns=columns, **settings), Context(seed=3)).run(
        rows=FeatureRows(_rows() if rows is None else rows)
    )


@pytest.mark.parametrize(("delay", "embargo"), [(0, 0), (7, 0), (5, 3)])
def test_parts_lie_apart_by_delay_and_embargo(delay: int, embargo: int) -> None:
    parts = _split(delay=delay, embargo_days=embargo)
    gap = pd.Timedelta(days=delay + embargo)
    assert parts.train["at"].max() + gap <= parts.tune["at"].min()
    assert parts.tune["at"].max() + gap <= parts.test["at"].min()


def test_no_label_delay_gives_another_split() -> None:
    assert _split(delay=0).train["at"].max() > _split(delay=7).train["at"].max()


def test_a_test_from_is_kept() -> None:
    assert _split(test_from="2026-03-30").test["at"].min() == pd.Timestamp("2026-03-30", tz="UTC")


def test_groups_are_in_one_part_only_and_random_repeats() -> None:
    parts = _split(by="group", group="who", tune_share=0.2, test_share=0.2)
    assert not set(parts.train["who"]) & set(parts.test["who"]) and sum(map(len, parts)) == N
    assert _split(by="random").test["id"].tolist() == _split(by="random").test["id"].tolist()
    with pytest.raises(DataError, match="found"):
        _split(by="group", group="device")


def test_rows_without_a_label_are_in_no_part() -> None:
    rows = _rows().astype({"y": float})
    rows.loc[rows.index[::5], "y"] = np.nan
    assert all(part["y"].notna().all() for part in _split(rows=rows))


def test_an_assign_that_leaks_time_or_groups_is_refused() -> None:
    class Mixed(SplitStep):
        def assign(self, *, rows: pd.DataFrame) -> pd.Series[str]:
            return pd.Series(np.resize(["train", "tune", "test"], len(rows)), index=rows.index)

    rows = _rows().assign(y=np.random.default_rng(1).integers(0, 2, N))
    with pytest.raises(DataError, match="less than 7 days apart"):
        _split(Mixed, rows)
    with pytest.raises(DataError, match="are in train and tune"):
        _split(Mixed, rows, by="group", group="who")


def test_an_assign_with_another_shape_or_word_breaks_its_contract() -> None:
    class Wrong(SplitStep):
        def assign(self, *, rows: pd.DataFrame) -> pd.Series[str]:
            return pd.Series("holdout", index=rows.index)

    with pytest.raises(ContractError, match="holdout"):
        _split(Wrong)


def test_an_empty_or_one_sided_part_is_refused() -> None:
    with pytest.raises(DataError, match="no tune rows"):
        _split(test_from="2030-01-01")
    with pytest.raises(DataError, match="all have the label"):
        _split(rows=_rows().assign(y=0))


def test_a_simulation_too_small_for_its_tune_rows_is_told_what_is_enough() -> None:
    rows = _rows().assign(y=lambda r: r["at"].dt.day % 2).astype({"y": int})
    rows.loc[(rows["at"] >= "2026-03-08") & (rows["at"] < "2026-03-31"), "y"] = 0
    with pytest.raises(DataError, match="tune rows all have the label 0") as error:
        _split(rows=rows)
    assert "sim://fraud?rows=60000" in error.value.fix and "tune_share" in error.value.fix
