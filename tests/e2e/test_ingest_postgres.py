"""SQL on a real PostgreSQL: a server-side cursor, bounded memory, no password in any text."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.errors import ConfigError, DataError, PlatformError
from carrental_mlops.steps.ingest import IngestConfig, IngestStep

pytestmark = pytest.mark.e2e

PASSWORD = "s3cret/@:pass"
COLUMNS = Columns(id="payment_id", time="paid_at", label="is_fraud", entities=("customer_id",))
ROWS = 2_000_000
QUERY = (
    "select i as payment_id, i % 5000 as customer_id, timestamptz '2026-01-01 00:00+01' + i * interval '1 second' as "
    "paid_at, (i % 900)::numeric(10, 2) as amount_eur, case when i % 3 = 0 then null else i % 4 end as channel, "
    "i % 50 = 0 as is_fraud, 'web' || i % 4 as device from (select generate_series(1, {rows}) i) streamed"
)
CHILD = """
import json, sys
from pathlib import Path
from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.steps.ingest import IngestConfig, IngestStep
columns = Columns(id="payment_id", time="paid_at", label="is_fraud", entities=("customer_id",))
config = IngestConfig(source=sys.argv[1], query=sys.argv[2], password_env="PAYMENTS_PASSWORD", columns=columns)
rows = IngestStep(config, Context(root=Path.cwd(), step="ingest")).run()
print(json.dumps({"rows": len(rows), "sum": int(rows["payment_id"].sum()), "first": str(rows["paid_at"].iloc[0]),
    "dtypes": rows.dtypes.astype(str).to_dict(), "frame": int(rows.memory_usage().sum()),
    "max_rss": int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024}))
"""


def _binary(name: str) -> str:
    found = shutil.which(name) or next(
        (str(p) for p in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None
    )
    if found is None:
        pytest.skip(f"no {name}: apt-get install postgresql")
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`postgresql://payments@host:port/postgres` of a fresh server that asks for a password."""
    folder = tmp_path_factory.mktemp("postgres")
    data, secret = folder / "data", folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    as_user: dict[str, Any] = {"user": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    if as_user:  # the server refuses root
        for place in (folder, *folder.parents[:2]):
            place.chmod(0o755)
        shutil.chown(folder, "postgres")
    initdb = [_binary("initdb"), "-D", str(data), "-U", "payments", "-A", "scram-sha-256", f"--pwfile={secret}", "-N"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **as_user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -F"
    control = [_binary("pg_ctl"), "-D", str(data)]
    start = [*control, "-w", "-l", str(folder / "log"), "-o", options, "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_user)
    yield f"postgresql://payments@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True, cwd=folder, **as_user)


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_PASSWORD", PASSWORD)


def _read(root: Path, url: str, query: str, **more: Any) -> Any:
    given = {"password_env": "PAYMENTS_PASSWORD", **more}
    return IngestStep(IngestConfig(source=url, query=query, columns=COLUMNS, **given), Context(root=root)).run()


def test_two_million_rows_come_in_bounded_memory(server: str, tmp_path: Path, capsys: Any) -> None:
    command = [sys.executable, "-c", CHILD, server, QUERY.format(rows=ROWS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    with capsys.disabled():
        frame, most = found["frame"] / 2**20, found["max_rss"] / 2**20
        sys.stdout.write(f"\nPostgreSQL: {ROWS} rows, a frame of {frame:.0f} MiB, {most:.0f} MiB at most\n")
    assert (found["rows"], found["sum"]) == (ROWS, ROWS * (ROWS + 1) // 2)
    assert found["first"] == "2025-12-31 23:00:01+00:00"
    assert found["dtypes"]["amount_eur"] == "float64" and found["dtypes"]["is_fraud"] == "bool"
    assert found["dtypes"]["channel"] == "float64" and found["dtypes"]["payment_id"] == "int64"
    assert found["max_rss"] < 1 << 30


def test_a_query_far_too_large_is_stopped_while_it_is_read(server: str, tmp_path: Path) -> None:
    """The series stands in the select list: there PostgreSQL makes it row by row and stores none of it."""
    with pytest.raises(DataError, match="at most 1000 expected"):
        _read(tmp_path, server, QUERY.format(rows=200_000_000), max_rows=1000)


def test_a_wrong_password_shows_neither_in_the_error_nor_in_the_log(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PAYMENTS_PASSWORD", "not-the-word")
    with caplog.at_level(logging.DEBUG), pytest.raises(PlatformError, match="authentication failed") as error:
        _read(tmp_path, server, "select 1")
    shown = str(error.value) + caplog.text + repr(error.value.__cause__)
    assert "not-the-word" not in shown and PASSWORD not in shown


def test_a_refused_query_names_what_the_database_says(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match='relation "refunds" does not exist') as error:
        _read(tmp_path, server, "select * from refunds")
    assert PASSWORD not in str(error.value)


def test_an_unset_variable_is_a_config_error(server: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="OTHER"):
        _read(tmp_path, server, "select 1", password_env="OTHER")
