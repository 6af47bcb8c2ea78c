"""Sealed inputs leave for a bucket, and come back for a replay."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from audit_repo import make_bundle, make_repo, model_of, payment_of

from carrental_mlops.config import load
from carrental_mlops.config.reader import repo_config
from carrental_mlops.errors import CrmError
from carrental_mlops.serving import protocol
from carrental_mlops.serving.load import Bundle, open_app
from carrental_mlops.serving.replay import Pick, replay
from carrental_mlops.serving.sealed_store import put_away
from carrental_mlops.serving.ship import prune

KEY = "input_key_file: key"
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-a-key",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    found = boto3.resource("s3").Bucket(f"sealed-{uuid.uuid4().hex}")
    found.create(CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield found
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_what_was_asked_lies_in_the_bucket_unreadable_and_is_replayed_from_there(tmp_path: Path, bucket: Any) -> None:
    root = make_repo(tmp_path / "repo")
    settings = root / "config" / "crm.yaml"
    settings.write_text(settings.read_text().replace(KEY, f"{KEY}, input_sink: s3://{bucket.name}/a/"))
    config = repo_config(load(root))
    make_bundle(tmp_path / "1", model_of(0), "1")
    asyncio.run(_answer(root, tmp_path / "1"))
    audit, folder = config.serving.audit, root / config.serving.audit.input_folder

    assert put_away(root, audit) == 1 and put_away(root, audit) == 0
    stored = [one.get()["Body"].read() for one in bucket.objects.all()]
    assert len(stored) == 1 and b"amount_eur" not in stored[0]
    assert prune(root, audit, dry_run=True) == []

    shutil.rmtree(folder)
    told = replay(root, config, Bundle.read(tmp_path / "1"), None, Pick())
    assert (told.events, told.without_input, told.rescored) == (20, 0, 0)


def test_a_bucket_that_does_not_answer_leaves_the_files(tmp_path: Path, bucket: Any) -> None:
    root = make_repo(tmp_path / "repo")
    make_bundle(tmp_path / "1", model_of(0), "1")
    asyncio.run(_answer(root, tmp_path / "1"))
    audit = repo_config(load(root)).serving.audit.model_copy(update={"input_sink": "s3://nobodys/x/"})
    with pytest.raises(CrmError, match="nobodys"):
        put_away(root, audit)
    assert len(list((root / audit.input_folder).glob("inputs-*.jsonl"))) == 1


async def _answer(root: Path, bundle: Path) -> None:
    endpoint = open_app(root, bundle).endpoint
    await endpoint.start()
    for number in range(20):
        body = orjson.dumps(payment_of(number, 10.0 + number))
        await endpoint.answer(protocol.read(body, endpoint.signature.names, 100), 1e12)
    await endpoint.stop()
