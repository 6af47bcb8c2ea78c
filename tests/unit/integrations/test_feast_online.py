from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carrental_mlops.config import Columns
from carrental_mlops.core.context import Context
from carrental_mlops.data.aggregate import aggregate
from carrental_mlops.data.features import FeatureSet, History
from carrental_mlops.errors import ConfigError, DataError, PlatformError
from carrental_mlops.integrations import feast as crm_feast
from carrental_mlops.integrations.feast_store import online_config, quiet

pytestmark = pytest.mark.slow

COLUMNS = Columns(id="id", time="at", label="fraud", entities=("customer_id",), label_delay_days=2)


class Features(FeatureSet):
    history = (
        History("customer_history", "customer_id", days=(1, 30), mean=("amount",), label_rate=True),
        History("branch_history", "branch_id", days=(3,)),
    )


def tables(customers: int = 40, n: int = 600, seed: int = 0) -> dict[str, pd.DataFrame]:
    r = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "at": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(r.integers(0, 60 * 86400, n), unit="s"),
            "customer_id": r.integers(0, customers, n),
            "branch_id": [f"b{i}" for i in r.integers(0, 5, n)],
            "amount": r.normal(50, 9, n),
            "fraud": r.integers(0, 2, n),
        }
    )
    return dict(aggregate(rows, Features.history, COLUMNS).tables)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(root=tmp_path, stores=True, service="fraud-payments")


def assert_online_equals_offline(context: Context, found: dict[str, pd.DataFrame]) -> None:
    """Each entity's online values are those of a join in the far future, bit for bit."""
    n = 60
    rows = pd.DataFrame({"customer_id": range(n), "branch_id": [f"b{i % 7}" for i in range(n)]})
    later = rows.assign(at=pd.Timestamp("2040-01-01", tz="UTC"))
    offline = crm_feast.join_historical(context, Features, found, later, COLUMNS)
    online = crm_feast.read_online(context, Features, rows)
    assert list(online) == list(Features.stored_columns())
    for name, values in online.items():
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values.view(np.int64), offline[name].to_numpy().view(np.int64), err_msg=name)


def test_online_values_equal_the_newest_offline_values_bit_for_bit(context: Context) -> None:
    found = tables()
    crm_feast.materialise(context, Features, found)
    assert_online_equals_offline(context, found)


def test_a_second_materialisation_writes_nothing(context: Context) -> None:
    found = tables()
    first = crm_feast.materialise(context, Features, found)
    assert first["customer_history"].written == first["customer_history"].entities == 40
    again = crm_feast.materialise(context, Features, found)
    assert {view: done.written for view, done in again.items()} == {"customer_history": 0, "branch_history": 0}


def test_only_what_changed_is_written_even_when_its_day_did_not(context: Context) -> None:
    found = tables()
    crm_feast.materialise(context, Features, found)
    late = found["customer_history"].copy()
    newest = late.groupby("customer_id")["event_timestamp"].idxmax()
    late.loc[newest.iloc[:3], "count_30d"] += 1
    assert crm_feast.materialise(context, Features, found | {"customer_history": late})["customer_history"].written == 3
    assert_online_equals_offline(context, found | {"customer_history": late})


def test_an_entity_that_left_the_tables_counts_nothing_online(context: Context) -> None:
    found = tables()
    crm_feast.materialise(context, Features, found)
    fewer = {view: table[table.iloc[:, 0].isin([1, 2, 3, "b1"])] for view, table in found.items()}
    done = crm_feast.materialise(context, Features, fewer)
    assert (done["customer_history"].entities, done["customer_history"].written) == (40, 37)
    assert_online_equals_offline(context, fewer)
    crm_feast.materialise(context, Features, found)
    assert_online_equals_offline(context, found)


def test_keys_may_be_missing_repeated_or_given_as_rows(context: Context) -> None:
    crm_feast.materialise(context, Features, tables())
    rows = [{"customer_id": 7, "branch_id": "b1"}, {"customer_id": None, "branch_id": None}]
    read = crm_feast.read_online(context, Features, [*rows, rows[0]])
    seven, nobody, again = read["customer_history__count_30d"]
    assert seven == again > nobody == 0
    assert np.isnan(read["customer_history__amount_mean_30d"][1])


def test_reading_before_any_materialisation_names_the_command(context: Context) -> None:
    with pytest.raises(DataError, match="crm run features"):
        crm_feast.read_online(context, Features, {"customer_id": [1], "branch_id": ["b1"]})
    assert list(context.root.iterdir()) == []


def test_a_missing_key_column_is_named(context: Context) -> None:
    crm_feast.materialise(context, Features, tables())
    with pytest.raises(DataError, match="branch_id"):
        crm_feast.read_online(context, Features, {"customer_id": [1]})


def test_redis_down_is_a_platform_error(context: Context) -> None:
    with pytest.raises(PlatformError, match="does not answer") as caught:
        crm_feast.materialise(context, Features, tables(), redis_url="redis://127.0.0.1:1/0")
    assert caught.value.retryable


@pytest.mark.parametrize("url", ["http://somewhere", "localhost:6379", "redis://u:a%2Cb@host"])
def test_a_redis_url_that_feast_cannot_use_is_refused_without_showing_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        online_config(tmp_path, url)
    assert "a%2Cb" not in str(caught.value)


def test_a_redis_url_becomes_feasts_connection_string(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_REDIS_URL", "rediss://crm:s%40fe@cache:6380/2")
    said = online_config(tmp_path)["connection_string"]
    assert said == 'cache:6380,db=2,username=crm,password="s@fe",ssl=true'


def test_a_repo_that_cannot_be_written_is_a_platform_error(context: Context) -> None:
    (context.root / ".crm").write_text("in the way")
    with pytest.raises(PlatformError, match="cannot be written"):
        crm_feast.materialise(context, Features, tables())


class Wider(Features):
    stored = ("loyalty:tier",)


def own_view(**settings: bool) -> list[object]:
    """A team's own feature_views.VIEWS: the histories and a view on a Parquet file of the repo."""
    from feast import Entity, FeatureView, Field, FileSource
    from feast.types import Float64, String

    with quiet():
        view = FeatureView(
            name="loyalty",
            entities=[Entity(name="customer_id", join_keys=["customer_id"])],
            schema=[Field(name="tier", dtype=Float64), Field(name="club", dtype=String)],
            source=FileSource(name="loyalty", path="loyalty.parquet", timestamp_field="at"),
            **settings,
        )
    return [*crm_feast.history_views(Wider), view]


def loyalty(tiers: dict[str, list[float]]) -> pd.DataFrame:
    """Rows by day; the n-th value of a day is customer n's."""
    rows = [
        {"customer_id": n, "at": pd.Timestamp(day, tz="UTC"), "tier": tier, "club": f"c{n}"}
        for day, values in tiers.items()
        for n, tier in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_a_teams_own_view_is_materialised_and_read_beside_the_histories(context: Context) -> None:
    path = context.root / "loyalty.parquet"
    loyalty({"2020-01-01": [9.0, 9.0, 0.3], "2026-01-01": [0.1, 0.2], "2999-01-01": [7.0]}).to_parquet(path)
    keys = {"customer_id": [1, 0, 2, 9], "branch_id": ["b1"] * 4}
    done = crm_feast.materialise(context, Wider, tables(), own_view())
    assert (done["loyalty"].entities, done["loyalty"].written) == (3, 3)
    np.testing.assert_array_equal(crm_feast.read_online(context, Wider, keys)["loyalty__tier"], [0.2, 0.1, 0.3, np.nan])
    assert crm_feast.materialise(context, Wider, tables(), own_view())["loyalty"].written == 0
    loyalty({"2020-01-01": [9.0, 9.0, 0.3], "2026-01-01": [0.1, 0.5]}).to_parquet(path)
    assert crm_feast.materialise(context, Wider, tables(), own_view())["loyalty"].written == 1
    rows = pd.DataFrame(keys).assign(at=pd.Timestamp("2026-06-01", tz="UTC"))
    offline = crm_feast.join_historical(context, Wider, tables(), rows, COLUMNS, own_view())
    online = crm_feast.read_online(context, Wider, keys)["loyalty__tier"]
    np.testing.assert_array_equal(online, offline["loyalty__tier"].to_numpy())


def test_a_view_that_is_not_online_is_left_alone_and_a_missing_source_is_named(context: Context) -> None:
    path = context.root / "loyalty.parquet"
    loyalty({"2026-01-01": [0.1]}).to_parquet(path)
    assert "loyalty" not in crm_feast.materialise(context, Wider, tables(), own_view(online=False))
    views = own_view()
    path.unlink()
    with pytest.raises((DataError, PlatformError, FileNotFoundError)) as caught:
        crm_feast.materialise(context, Wider, tables(), views)
    assert "loyalty" in str(caught.value)


def test_the_step_materialises_the_repos_own_views(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from carrental_mlops.data.aggregate import FeatureTables
    from carrental_mlops.steps import MaterialiseStep

    package = tmp_path / "src" / "loyal_repo"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "features.py").write_text("from test_feast_online import Wider as Base\nclass Wider(Base): ...\n")
    (package / "feature_views.py").write_text("from test_feast_online import own_view\nVIEWS = own_view()\n")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    loyalty({"2026-01-01": [0.1, 0.2]}).to_parquet(context.root / "loyalty.parquet")
    import loyal_repo.features

    made = type("Materialise", (MaterialiseStep,), {"feature_set": loyal_repo.features.Wider})
    done = made(context=context).run(tables=FeatureTables(tables()))
    assert done.rows["loyalty"] == 2
    keys = {"customer_id": [1], "branch_id": ["b1"]}
    assert crm_feast.read_online(context, Wider, keys)["loyalty__tier"] == [0.2]


FILL = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import test_feast_online as t
from carrental_mlops.integrations import feast as crm_feast, feast_online
feast_online._BATCH = 50
context = t.Context(root=Path({root!r}), stores=True, service="fraud-payments")
crm_feast.materialise(context, t.Features, t.tables(3000, 9000))
"""


def rows_online(path: Path) -> int:
    try:
        with sqlite3.connect(path) as connection:
            (name,) = connection.execute(
                "select name from sqlite_master where name like '%customer_history'"
            ).fetchone()
            return int(connection.execute(f'select count(distinct entity_key) from "{name}"').fetchone()[0])
    except (sqlite3.Error, TypeError):
        return 0


def test_a_materialisation_killed_midway_is_taken_up_where_it_stopped(context: Context) -> None:
    code = FILL.format(here=str(Path(__file__).parent), root=str(context.root))
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    online = context.root / ".crm" / "feast" / "online.db"
    deadline = time.monotonic() + 120
    while rows_online(online) < 200 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    had = rows_online(online)
    found = tables(3000, 9000)
    done = crm_feast.materialise(context, Features, found)["customer_history"]
    assert 200 <= had < done.entities
    assert done.written == done.entities - had
    assert_online_equals_offline(context, found)
