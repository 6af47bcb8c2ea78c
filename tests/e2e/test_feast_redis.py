"""The online store on a real Redis, and what Feast's default makes of a corrected value."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carrental_mlops.core.context import Context
from carrental_mlops.data.features import FeatureSet, History
from carrental_mlops.errors import PlatformError
from carrental_mlops.integrations import feast as crm_feast
from carrental_mlops.integrations.feast_store import apply, feast_folder, online_config, open_store, quiet

pytestmark = pytest.mark.e2e

PASSWORD = "s@fe"


class Features(FeatureSet):
    history = (History("customer_history", "customer_id", days=(7,), mean=("amount",)),)


def tables(count: float = 3.0, customers: int = 500) -> dict[str, pd.DataFrame]:
    r = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(customers)],
            "event_timestamp": pd.Timestamp("2026-03-01", tz="UTC"),
            "count_7d": np.full(customers, count),
            "amount_mean_7d": np.where(r.random(customers) < 0.1, np.nan, r.normal(50, 9, customers)),
        }
    )
    return {"customer_history": frame}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on PATH: apt-get install redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [binary, "--port", str(port), "--save", "", "--requirepass", PASSWORD, "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"redis://:{PASSWORD.replace('@', '%40')}@127.0.0.1:{port}/1", process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def context(tmp_path: Path, server: tuple[str, object], monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("CRM_REDIS_URL", server[0])
    return Context(root=tmp_path / "repo", stores=True, service="fraud-payments")


def assert_online(context: Context, found: dict[str, pd.DataFrame]) -> None:
    table = found["customer_history"]
    online = crm_feast.read_online(context, Features, table[["customer_id"]])
    for name, values in online.items():
        np.testing.assert_array_equal(values, table[name.removeprefix("customer_history__")])


def test_redis_holds_the_offline_values_bit_for_bit_and_no_sqlite_is_made(context: Context) -> None:
    assert crm_feast.materialise(context, Features, tables())["customer_history"].written == 500
    assert_online(context, tables())
    assert crm_feast.materialise(context, Features, tables())["customer_history"].written == 0
    assert not (feast_folder(context) / "online.db").exists()


def test_a_flushed_redis_is_filled_again(context: Context, server: tuple[str, object]) -> None:
    import redis

    crm_feast.materialise(context, Features, tables())
    with redis.Redis.from_url(server[0]) as client:
        client.flushdb()
    assert crm_feast.materialise(context, Features, tables())["customer_history"].written == 500
    assert_online(context, tables())


def test_a_corrected_value_of_the_same_day_reaches_redis(context: Context) -> None:
    crm_feast.materialise(context, Features, tables(3.0))
    assert crm_feast.materialise(context, Features, tables(4.0))["customer_history"].written == 500
    assert_online(context, tables(4.0))


def test_feasts_default_would_have_lost_that_correction_in_silence(context: Context) -> None:
    folder = feast_folder(context)
    crm_feast.materialise(context, Features, tables(3.0))
    with quiet():
        store = open_store(context, folder, online_config(folder) | {"skip_dedup": False})
        apply(store, folder, Features, None, context.root)
        store.write_to_online_store("customer_history", df=tables(4.0)["customer_history"])
    assert_online(context, tables(3.0))


def test_a_redis_that_dies_is_a_retryable_platform_error_and_its_successor_is_filled(
    context: Context, server: tuple[str, subprocess.Popen[bytes]]
) -> None:
    crm_feast.materialise(context, Features, tables())
    server[1].kill()
    server[1].wait()
    with pytest.raises(PlatformError) as caught:
        crm_feast.read_online(context, Features, [{"customer_id": "c1"}])
    assert caught.value.retryable
    assert PASSWORD not in str(caught.value)
