"""Releases are written once, whole, under a number of their own, in a folder and in S3."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from releases import NOON, stored

from carrental_mlops.deploy.releases.release import Event, Stored
from carrental_mlops.deploy.releases.store import ReleaseStore
from carrental_mlops.errors import ConfigError, DataError, PlatformError


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    pytest.importorskip("moto.server")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseStore]:
    if request.param == "folder":
        yield ReleaseStore(tmp_path, "releases/")
        return
    import boto3
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("endpoint"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = boto3.resource("s3").Bucket("releases")
    bucket.create(CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield ReleaseStore(tmp_path, "s3://releases/fraud-payments/")
    bucket.objects.all().delete()
    bucket.delete()
    s3fs.S3FileSystem.clear_instance_cache()


def test_releases_are_numbered_by_environment_and_come_back_as_they_were(store: ReleaseStore) -> None:
    first = store.add("prod", stored)
    second = store.add("prod", stored)
    store.add("eu-staging", stored)
    assert [one.release.id for one in store.releases("prod")] == ["prod-2", "prod-1"]
    assert [one.release.id for one in store.releases("eu-staging")] == ["eu-staging-1"]
    assert (store.get("prod-1"), store.get("prod-2")) == (first, second)
    assert store.releases("nowhere") == []


def test_two_writers_at_once_get_two_numbers_and_neither_overwrites(store: ReleaseStore) -> None:
    both = threading.Barrier(2, timeout=20)

    def add(by: str) -> Stored:
        met = False

        def make(name: str) -> Stored:
            nonlocal met
            if not met:  # both have chosen a number before either writes
                met = True
                both.wait()
            return stored(name, by=by)

        return store.add("prod", make)

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(add, ("ann@example.com", "ben@example.com"))
    assert {one.release.id, other.release.id} == {"prod-1", "prod-2"}
    assert store.get(one.release.id) == one
    assert store.get(other.release.id) == other


def test_events_lie_beside_their_release_in_order_and_say_what_runs(store: ReleaseStore) -> None:
    for _ in range(3):
        store.add("prod", stored)
    assert store.last("prod") is None
    for name, states in {
        "prod-1": ("started", "available"),
        "prod-2": ("started", "failed"),
        "prod-3": ("started",),
    }.items():
        for n, state in enumerate(states):
            store.record(Event(release=name, state=state, at=NOON + timedelta(seconds=n), by="jane"))  # type: ignore[arg-type]
    assert [event.state for event in store.events("prod-2")] == ["started", "failed"]
    last = store.last("prod")
    assert last is not None and last.release.id == "prod-1"


def test_two_events_of_one_instant_are_both_kept(store: ReleaseStore) -> None:
    store.add("prod", stored)
    for state in ("started", "applied"):
        store.record(Event(release="prod-1", state=state, at=NOON, by="jane"))  # type: ignore[arg-type]
    assert [event.state for event in store.events("prod-1")] == ["started", "applied"]


def test_an_unknown_release_names_the_latest(store: ReleaseStore) -> None:
    store.add("prod", stored)
    with pytest.raises(ConfigError, match="the latest: prod-1"):
        store.get("prod-9")


def test_a_release_that_somebody_edited_into_none_is_named(tmp_path: Path) -> None:
    store = ReleaseStore(tmp_path, "releases/")
    store.add("prod", stored)
    (tmp_path / "releases/prod/1.json").write_text('{"release": {}}')
    with pytest.raises(DataError, match=r"releases/prod/1.json is not a release: .*\nFix: restore"):
        store.get("prod-1")


def test_a_folder_that_cannot_be_written_is_a_platform_error(tmp_path: Path) -> None:
    (tmp_path / "releases").write_text("a file in the way")
    with pytest.raises(PlatformError, match="releases"):
        ReleaseStore(tmp_path, "releases/").add("prod", stored)


def test_nothing_half_written_stays_after_an_add(tmp_path: Path) -> None:
    store = ReleaseStore(tmp_path, "releases/")
    store.add("prod", stored)
    assert [path.name for path in (tmp_path / "releases/prod").iterdir()] == ["1.json"]
