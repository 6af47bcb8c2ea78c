"""S3 through its real client, against a server of its own."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.errors import ConfigError, DataError, PlatformError
from carrental_mlops.steps.batch_answers import answers_file, no_answers
from carrental_mlops.steps.ingest import MANY, IngestConfig, IngestStep

COLUMNS = Columns(id="id", time="at", label="y", entities=("who",))
FILES = MANY + 30
SECRET = "wJalrXUtnFEMI-not-a-key"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    found = boto3.resource("s3").Bucket("payments")
    found.create(CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield found
    found.objects.all().delete()
    found.delete()
    s3fs.S3FileSystem.clear_instance_cache()


def _one(n: int) -> pd.DataFrame:
    ids = [n * 10, n * 10 + 1]
    return pd.DataFrame({"id": ids, "at": pd.Timestamp("2026-01-01", tz="UTC"), "who": ["a", "b"], "y": 0})


def _put(bucket: Any, key: str, rows: pd.DataFrame) -> None:
    body = io.BytesIO()
    rows.to_parquet(body) if key.endswith(".parquet") else rows.to_csv(body, index=False)
    bucket.put_object(Key=key, Body=body.getvalue())


def _run(root: Path, source: str) -> tuple[pd.DataFrame, Context]:
    context = Context(root=root, stores=True, step="ingest")
    return IngestStep(IngestConfig(source=source, columns=COLUMNS), context).run(), context


def test_one_object_and_one_of_several_megabytes(tmp_path: Path, bucket: Any) -> None:
    _put(bucket, "one.parquet", _one(1))
    _put(bucket, "one.parquet.bak", _one(2))
    assert _run(tmp_path, "s3://payments/one.parquet")[0]["id"].tolist() == [10, 11]
    large = pd.concat([_one(n) for n in range(2000)]).assign(who=[f"{i:2000d}" for i in range(4000)])
    _put(bucket, "large.csv", large)
    assert len(_run(tmp_path, "s3://payments/large.csv")[0]) == 4000


def test_a_prefix_of_many_objects_is_read_once_and_then_only_what_changed(
    tmp_path: Path, bucket: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(FILES):
        _put(bucket, f"daily/{n:04d}.parquet", _one(n))
    _put(bucket, "daily/_temporary/0.parquet", _one(999))
    _put(bucket, "daily-old/0.parquet", _one(998))
    rows, first = _run(tmp_path, "s3://payments/daily/")
    assert rows["id"].tolist() == [i for n in range(FILES) for i in (n * 10, n * 10 + 1)]
    _put(bucket, "daily/0003.parquet", _one(7777))
    with caplog.at_level(logging.DEBUG):
        rows, second = _run(tmp_path, "s3://payments/daily/")
    assert f"{FILES - 1} unchanged, 0 added, 1 changed" in caplog.text
    assert rows["id"].tolist()[6:8] == [77770, 77771] and len(rows) == FILES * 2
    assert first.params["data_digest"] != second.params["data_digest"]
    assert SECRET not in caplog.text and SECRET not in str(second.params)


def test_a_prefix_without_its_slash_and_a_glob(tmp_path: Path, bucket: Any) -> None:
    for key in ("daily/1/a.csv", "daily/1/b.csv", "daily/2/a.csv", "dailyx/a.csv"):
        _put(bucket, key, _one(len(key)))
    assert len(_run(tmp_path, "s3://payments/daily")[0]) == 6
    assert len(_run(tmp_path, "s3://payments/daily/*/a.csv")[0]) == 4
    assert len(_run(tmp_path, "s3://payments/**/*.csv")[0]) == 8


@pytest.mark.e2e
def test_a_listing_of_several_pages_is_read_to_its_end(tmp_path: Path, bucket: Any) -> None:
    for n in range(1005):
        bucket.put_object(Key=f"p/{n:04d}.csv", Body=f"id,at,who,y\n{n},2026-01-01,a,0\n".encode())
    assert _run(tmp_path, "s3://payments/p/")[0]["id"].tolist() == list(range(1005))


@pytest.mark.parametrize(
    ("source", "text"),
    [("s3://nobody/x/", "no such bucket"), ("s3://payments/none/", "nothing to read"), ("s3://nobody/x.csv", "bucket")],
)
def test_a_bucket_or_prefix_that_is_not_there(tmp_path: Path, bucket: Any, source: str, text: str) -> None:
    with pytest.raises(DataError, match=text):
        _run(tmp_path, source)


def test_a_broken_object_is_named(tmp_path: Path, bucket: Any) -> None:
    _put(bucket, "d/a.parquet", _one(1))
    bucket.put_object(Key="d/b.parquet", Body=b"PAR1 not really")
    with pytest.raises(
        DataError, match=r"1 of 2 files of s3://payments/d/ .*b\.parquet: expected a whole Parquet file"
    ):
        _run(tmp_path, "s3://payments/d/")


def test_access_denied_says_which_rights_to_ask_for(
    tmp_path: Path, bucket: Any, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests
    import s3fs

    _put(bucket, "a.csv", _one(1))
    requests.post(f"{endpoint}/moto-api/reset-auth", data="0", timeout=10)
    try:
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(PlatformError, match="denied") as error:
            _run(tmp_path, "s3://payments/a.csv")
    finally:
        requests.post(f"{endpoint}/moto-api/reset-auth", data="inf", timeout=10)
    assert "s3:ListBucket" in error.value.fix and not error.value.retryable and SECRET not in str(error.value)


def test_no_credentials_say_how_to_log_in(tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(PlatformError, match="credentials"):
        _run(tmp_path, "s3://payments/a.csv")


def test_an_endpoint_that_is_not_there_is_retryable(
    tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(PlatformError, match="AWS_ENDPOINT_URL") as error:
        _run(tmp_path, "s3://payments/a.csv")
    assert error.value.retryable and SECRET not in str(error.value)
    monkeypatch.undo()


def _answer(root: Path, output: str) -> None:
    with answers_file(output, Context(run_id="r1", root=root), "id") as file:
        file.write(no_answers("id"))


def test_answers_go_to_a_bucket(tmp_path: Path, bucket: Any) -> None:
    _answer(tmp_path, "s3://payments/answers/{run_id}.parquet")
    stored = bucket.Object("answers/r1.parquet").get()["Body"].read()
    assert list(pd.read_parquet(io.BytesIO(stored))) == list(no_answers("id"))


def test_answers_that_cannot_be_stored_say_what_to_mend(
    tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    with pytest.raises(DataError, match="no such bucket"):
        _answer(tmp_path, "s3://nobody/a.parquet")
    with pytest.raises(ConfigError, match="gs://x/a is neither"):
        _answer(tmp_path, "gs://x/a")
    with monkeypatch.context() as alone:
        alone.delenv("AWS_ACCESS_KEY_ID")
        alone.delenv("AWS_SECRET_ACCESS_KEY")
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(PlatformError, match="credentials"):
            _answer(tmp_path, "s3://payments/a.parquet")
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(PlatformError, match="does not answer"):
            _answer(tmp_path, "s3://payments/a.parquet")
