"""Daily snapshots and their join, against a slow and obvious reading of the definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carrental_mlops.config import Columns
from carrental_mlops.data.aggregate import FeatureTables, aggregate, join_as_of
from carrental_mlops.data.features import FeatureSet, History
from carrental_mlops.errors import DataError, OverrideError

START = pd.Timestamp("2026-03-01", tz="UTC")
HISTORY = History(view="past", entity="who", days=(1, 3), mean=("eur",), label_rate=True)


def _columns(delay: int) -> Columns:
    return Columns(id="id", time="at", label="y", entities=("who",), label_delay_days=delay)


def _rows(events: list[tuple[Any, float, float, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(events, columns=["who", "day", "eur", "y"])
    return frame.assign(id=range(len(frame)), at=START + pd.to_timedelta(frame.pop("day"), unit="D"))


def _slow(rows: pd.DataFrame, row: Any, delay: int) -> dict[str, float]:
    midnight = row.at.normalize()
    mine = rows[rows["who"] == row.who]
    found = {}
    for n in HISTORY.days:
        window = mine[(mine["at"] >= midnight - pd.Timedelta(days=n)) & (mine["at"] < midnight)]
        late = midnight - pd.Timedelta(days=delay)
        known = mine[(mine["at"] >= late - pd.Timedelta(days=n)) & (mine["at"] < late)]
        found |= {
            f"count_{n}d": len(window),
            f"eur_mean_{n}d": window["eur"].mean(),
            f"label_rate_{n}d": known["y"].mean(),
        }
    return found


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "eve", None]),
        st.floats(0, 25, allow_nan=False),
        st.sampled_from([10.0, 20.5, 300.0, float("nan")]),
        st.sampled_from([0.0, 1.0, float("nan")]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=80, deadline=None)
@given(EVENTS, st.sampled_from([0, 2, 7]))
def test_each_row_sees_exactly_what_was_known_at_its_midnight(events: list[Any], delay: int) -> None:
    rows = _rows(events).sample(frac=1, random_state=1)
    joined = join_as_of(rows, aggregate(rows, [HISTORY], _columns(delay)), [HISTORY], _columns(delay))
    assert joined.index.equals(rows.index) and joined[rows.columns].equals(rows)
    for row in joined.itertuples():
        for name, value in _slow(rows, row, delay).items():
            assert getattr(row, f"past__{name}") == pytest.approx(value, nan_ok=True), (row, name)


def test_tables_hold_entity_midnight_and_features_in_order() -> None:
    table = aggregate(_rows([("ann", 0.5, 10, 1), ("ann", 9.5, 10, 0)]), [HISTORY], _columns(1)).tables["past"]
    assert list(table.columns) == ["who", "event_timestamp", *HISTORY.features()]
    assert (
        str(table["event_timestamp"].dt.tz) == "UTC"
        and (table["event_timestamp"].dt.normalize() == table["event_timestamp"]).all()
    )
    assert table[list(HISTORY.features())].dtypes.unique() == [np.dtype("float64")]
    assert table["event_timestamp"].max() == START + pd.Timedelta(days=10)


def test_an_entity_never_seen_has_count_zero_and_nothing_else() -> None:
    tables = aggregate(_rows([("ann", 0.5, 10, 1)]), [HISTORY], _columns(0))
    joined = join_as_of(_rows([("new", 5, 1, 0), (None, 5, 1, 0)]), tables, [HISTORY], _columns(0))
    assert (joined["past__count_3d"] == 0).all() and joined["past__eur_mean_3d"].isna().all()


def test_whole_number_keys_and_no_rows_at_all() -> None:
    rows = _rows([(7, 0.5, 10, 1), (8, 1.5, 20, 0)])
    joined = join_as_of(rows, aggregate(rows, [HISTORY], _columns(0)), [HISTORY], _columns(0))
    assert joined["past__count_3d"].tolist() == [0, 0]
    none = rows.iloc[:0]
    assert len(join_as_of(none, aggregate(none, [HISTORY], _columns(0)), [HISTORY], _columns(0))) == 0


def test_chunks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = _rows(
        [(int(w), float(d), 1.0, 0.0) for w, d in zip(rng.integers(0, 30, 200), rng.uniform(0, 20, 200), strict=True)]
    )
    whole = aggregate(rows, [HISTORY], _columns(2)).tables["past"]
    monkeypatch.setattr("carrental_mlops.data.aggregate._CELLS", 50)
    pd.testing.assert_frame_equal(aggregate(rows, [HISTORY], _columns(2)).tables["past"], whole)


def test_tables_come_back_from_their_folder(tmp_path: Path) -> None:
    tables = aggregate(_rows([("ann", 0.5, 10, 1)]), [HISTORY], _columns(0))
    tables.save(tmp_path)
    loaded = FeatureTables.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.tables["past"], tables.tables["past"])


def test_a_missing_column_view_or_time_is_named() -> None:
    rows = _rows([("ann", 0.5, 10, 1)])
    with pytest.raises(DataError, match="eur"):
        aggregate(rows.drop(columns="eur"), [HISTORY], _columns(0))
    with pytest.raises(DataError, match="past"):
        join_as_of(rows, FeatureTables({}), [HISTORY], _columns(0))
    with pytest.raises(DataError, match="missing in 1 rows"):
        aggregate(rows.assign(at=pd.NaT), [HISTORY], _columns(0))


def test_a_misspelt_name_in_a_feature_set_is_refused() -> None:
    with pytest.raises(OverrideError, match="histroy"):
        type("Bad", (FeatureSet,), {"histroy": (HISTORY,)})
    with pytest.raises(OverrideError, match="references"):
        type("Bad", (FeatureSet,), {"references": classmethod(lambda cls: ())})
