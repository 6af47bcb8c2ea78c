from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carrental_mlops.config import Columns
from carrental_mlops.core.context import Context
from carrental_mlops.data.aggregate import FeatureTables, aggregate, join_as_of
from carrental_mlops.data.features import FeatureSet, History
from carrental_mlops.errors import DataError
from carrental_mlops.integrations import feast as crm_feast

pytestmark = pytest.mark.slow

COLUMNS = Columns(
    id="id", time="at", label="fraud", entities=("customer_id", "branch_id"), amount="amount", label_delay_days=2
)


class Features(FeatureSet):
    history = (
        History("customer_history", "customer_id", days=(1, 30), mean=("amount",), label_rate=True),
        History("branch_history", "branch_id", days=(3,)),
    )


def day(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def payments(n: int = 400, seed: int = 0) -> pd.DataFrame:
    r = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": range(n),
            "at": day("2026-01-01") + pd.to_timedelta(r.integers(0, 60 * 86400, n), unit="s"),
            "customer_id": r.integers(0, 40, n),
            "branch_id": [f"b{i}" for i in r.integers(0, 5, n)],
            "amount": r.normal(50, 9, n),
            "fraud": r.integers(0, 2, n),
        }
    )


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(root=tmp_path, stores=True, service="fraud-payments")


def joined_twice(context: Context, tables: FeatureTables, rows: pd.DataFrame) -> pd.DataFrame:
    """The join, after proving it equal to its twin in memory, bit for bit."""
    found = crm_feast.join_historical(context, Features, tables.tables, rows, COLUMNS)
    pd.testing.assert_frame_equal(found, join_as_of(rows, tables, Features.history, COLUMNS), check_exact=True)
    return found


def test_join_equals_the_join_in_memory(context: Context) -> None:
    rows = payments()
    found = joined_twice(context, aggregate(rows, Features.history, COLUMNS), rows)
    assert list(found.columns[-1:]) == ["branch_history__count_3d"]
    assert found["customer_history__count_30d"].sum() > 0


def test_expired_future_only_duplicate_unknown_and_null_rows_all_come_back_in_order(context: Context) -> None:
    past = payments()
    tables = aggregate(past, Features.history, COLUMNS)
    known = past["customer_id"].iloc[0]
    rows = pd.DataFrame(
        {
            "at": [
                day("2031-01-01"),
                day("2020-01-01"),
                *[day("2026-02-01 13:00")] * 3,
                day("2026-02-01"),
                day("2026-02-02"),
            ],
            "customer_id": [known, known, known, known, 999_999, None, known],
            "branch_id": ["b1", "b1", "b2", "b2", "nowhere", "b0", None],
        },
        index=[7, 7, 3, "x", 1, 0, 2],
    )
    found = joined_twice(context, tables, rows)
    assert list(found.index) == [7, 7, 3, "x", 1, 0, 2]
    counts = found["customer_history__count_30d"].tolist()
    assert counts[1] == counts[4] == counts[5] == 0, "future-only, unknown and null keys count 0"
    assert counts[2] == counts[3] > 0
    assert np.isnan(found["customer_history__amount_mean_30d"].iloc[[1, 4, 5]]).all()


def test_a_snapshot_is_valid_from_its_own_midnight_to_the_microsecond(context: Context) -> None:
    tables = FeatureTables(
        {
            "customer_history": pd.DataFrame(
                {"customer_id": [1, 1], "event_timestamp": [day("2026-01-01"), day("2026-01-02")]}
            ).assign(**{name: [1.0, 2.0] for name in Features.history[0].features()}),
            "branch_history": pd.DataFrame(
                {"branch_id": ["b"], "event_timestamp": [day("2026-01-01")], "count_3d": [5.0]}
            ),
        }
    )
    just_before = day("2026-01-02") - pd.Timedelta(1, unit="ns")
    rows = pd.DataFrame({"at": [just_before, day("2026-01-02")], "customer_id": [1, 1], "branch_id": ["b", "b"]})
    assert joined_twice(context, tables, rows)["customer_history__count_1d"].tolist() == [1.0, 2.0]


def test_naive_times_and_categories_join_as_their_twins(context: Context) -> None:
    rows = payments(50)
    tables = aggregate(rows, Features.history, COLUMNS)
    joined_twice(
        context, tables, rows.assign(at=rows["at"].dt.tz_localize(None), branch_id=rows["branch_id"].astype("category"))
    )


def test_no_row_of_a_shuffled_frame_is_lost_over_seeds(context: Context) -> None:
    for seed in range(3):
        rows = payments(300, seed)
        tables = aggregate(rows.sample(150, random_state=seed), Features.history, COLUMNS)
        joined_twice(context, tables, rows.sample(frac=1, random_state=seed))


def test_empty_tables_and_empty_rows_join(context: Context) -> None:
    rows = payments(20)
    joined_twice(context, aggregate(rows.iloc[:0], Features.history, COLUMNS), rows)
    joined_twice(context, aggregate(rows, Features.history, COLUMNS), rows.iloc[:0])


def test_a_run_that_stores_nothing_leaves_the_repo_untouched(context: Context) -> None:
    rows = payments(50)
    context.stores = False
    joined_twice(context, aggregate(rows, Features.history, COLUMNS), rows)
    assert list(context.root.iterdir()) == []


def test_stores_lie_under_the_repo_and_survive_its_move(context: Context, tmp_path: Path) -> None:
    rows = payments(50)
    tables = aggregate(rows, Features.history, COLUMNS)
    context.root = tmp_path / "here"
    joined_twice(context, tables, rows)
    context.root.rename(tmp_path / "there")
    context.root = tmp_path / "there"
    joined_twice(context, tables, rows)
    assert {p.name for p in (context.root / ".crm" / "feast").iterdir()} >= {"registry.db", "customer_history.parquet"}
    assert not (tmp_path / "here").exists()


def test_feast_says_nothing(context: Context, capfd: pytest.CaptureFixture[str]) -> None:
    rows = payments(50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crm_feast.join_historical(context, Features, aggregate(rows, Features.history, COLUMNS).tables, rows, COLUMNS)
    assert capfd.readouterr() == ("", "")


def test_views_of_feast_are_genuine_and_relative_to_the_repo() -> None:
    views = crm_feast.history_views(Features)
    assert [type(v).__name__ for v in views] == ["Entity", "Entity", "FeatureView", "FeatureView"]
    assert views[2].batch_source.path == ".crm/feast/customer_history.parquet"
    assert [str(f.dtype) for f in views[3].features] == ["Float64"]


class Wider(Features):
    stored = ("loyalty:tier",)


def loyalty(path: str, **options: object) -> list[object]:
    from datetime import timedelta

    from feast import Entity, FeatureView, Field, FileSource
    from feast.types import Float64

    customer = Entity(name="customer_id", join_keys=["customer_id"])
    source = FileSource(name="loyalty", path=path, timestamp_field="since", **options)
    field = Field(name="tier", dtype=Float64)
    return [FeatureView(name="loyalty", entities=[customer], schema=[field], source=source, ttl=timedelta(days=10))]


@pytest.mark.parametrize("created", [None, "created"])
def test_a_teams_own_view_joins_with_its_ttl(context: Context, created: str | None) -> None:
    rows = payments(60)
    (context.root / "data").mkdir()
    pd.DataFrame(
        {"customer_id": range(40), "since": day("2026-01-20"), "created": day("2026-01-20"), "tier": np.arange(40.0)}
    ).to_parquet(context.root / "data" / "loyalty.parquet")
    views = [*crm_feast.history_views(Wider), *loyalty("data/loyalty.parquet", created_timestamp_column=created or "")]
    tables = aggregate(rows, Features.history, COLUMNS)
    found = crm_feast.join_historical(context, Wider, tables.tables, rows, COLUMNS, views)
    fresh = rows["at"].between(day("2026-01-20"), day("2026-01-30"))
    np.testing.assert_array_equal(found["loyalty__tier"], np.where(fresh, rows["customer_id"], np.nan))
    pd.testing.assert_frame_equal(
        found.drop(columns="loyalty__tier"), join_as_of(rows, tables, Features.history, COLUMNS), check_exact=True
    )


def test_a_stored_reference_without_its_view_is_refused(context: Context) -> None:
    rows = payments(20)
    with pytest.raises(DataError, match="VIEWS of feature_views"):
        crm_feast.join_historical(context, Wider, aggregate(rows, Features.history, COLUMNS).tables, rows, COLUMNS)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows, tables: (rows.drop(columns="branch_id"), tables), "rows lack"),
        (lambda rows, tables: (rows.assign(at=pd.NaT), tables), "`at` is missing in 20 rows"),
        (lambda rows, tables: (rows.assign(customer_id="7"), tables), "`customer_id` is '7' in the rows"),
        (lambda rows, tables: (rows, {"branch_history": tables["branch_history"]}), "no table for view"),
        (lambda rows, tables: (rows, {**tables, "branch_history": tables["branch_history"].iloc[:, :2]}), "lacks"),
    ],
)
def test_what_cannot_be_joined_is_refused_by_name(context: Context, spoil: object, said: str) -> None:
    rows = payments(20)
    rows, tables = spoil(rows, dict(aggregate(rows, Features.history, COLUMNS).tables))  # type: ignore[operator]
    with pytest.raises(DataError, match=said):
        crm_feast.join_historical(context, Features, tables, rows, COLUMNS)


def test_importing_our_module_does_not_import_feast() -> None:
    code = "import sys, carrental_mlops.integrations.feast; sys.exit('feast' in sys.modules or 'redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_repos_views_are_made_without_a_warning() -> None:
    code = (
        "from carrental_mlops.data.features import FeatureSet, History\n"
        "from carrental_mlops.integrations.feast import history_views\n"
        "history_views(type('F', (FeatureSet,), {'history': (History('v', 'k'),)}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "value_type" not in done.stderr
