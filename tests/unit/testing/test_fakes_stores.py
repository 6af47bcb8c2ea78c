"""What keeps things and what a release meets: each test runs against the fake and against the real one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from carrental_mlops.core.context import Context, Dataset
from carrental_mlops.data.model import Classifier
from carrental_mlops.deploy.image.builders import Buildah, Builder, Docker, Kaniko, Order, build
from carrental_mlops.deploy.rollout.switch import LocalPlace, Place
from carrental_mlops.deploy.rollout.traffic import Traffic
from carrental_mlops.errors import ConfigError, DataError, PlatformError
from carrental_mlops.integrations.mlflow import Registry, Tracker, registry_for, tracking_uri
from carrental_mlops.integrations.mlflow_client import client_for
from carrental_mlops.integrations.source_files import Files, LocalFiles
from carrental_mlops.steps.calibrate import Calibrator, fitted
from carrental_mlops.testing.fakes import (
    FakeBuilder,
    FakeCalibrator,
    FakeClassifier,
    FakeClock,
    FakeFiles,
    FakePlace,
    FakeRegistry,
    FakeTracker,
    FakeTraffic,
    fake_registry,
)

BOTH = pytest.mark.parametrize("kind", ["fake", "real"])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo with a real MLflow store; each test has a service of its own there."""
    root = tmp_path_factory.mktemp("mlflow")
    client_for(tracking_uri(root))
    return root


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.slow)])
def registry(request: pytest.FixtureRequest) -> Registry | FakeRegistry:
    if request.param == "fake":
        return FakeRegistry(request.node.name)
    root: Path = request.getfixturevalue("store")
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    return Registry(tracking_uri(root), name)


def model(folder: Path, text: str) -> Path:
    (folder / text / "deep").mkdir(parents=True, exist_ok=True)
    (folder / text / "deep" / "model.txt").write_text(text)
    return folder / text


@pytest.mark.filterwarnings("ignore")
def test_a_registry_keeps_versions_and_says_who_serves(registry: Registry | FakeRegistry, tmp_path: Path) -> None:
    assert (registry.champion(), registry.challenger(), registry.versions()) == (None, None, [])
    first = registry.register(model(tmp_path, "one"), "d1", "run-1", {"pipeline": "training"}, {"auc": 0.9})
    again = registry.register(model(tmp_path, "one"), "d1", "run-1", {"pipeline": "training"}, {"auc": 0.9})
    second = registry.register(model(tmp_path, "two"), "d2", "run-2", {"long": "x" * 6000}, {})
    assert (first, again, second) == ("1", "1", "2")
    challenger = registry.challenger()
    assert challenger is not None
    assert (challenger.version, challenger.digest, challenger.run_id) == ("2", "d2", "run-2")
    assert len(challenger.tags["long"]) == 5000
    assert registry.version("1").metrics == {"auc": 0.9}
    assert abs(registry.version("1").registered_at - time.time()) < 600
    assert [one.version for one in registry.versions()] == ["2", "1"]
    assert not registry.promote("1", "2")
    assert registry.promote("1", None)
    assert not registry.promote("2", None)
    champion = registry.champion()
    assert champion is not None
    assert champion.version == "1"
    registry.tag("1", "approved", "yes")
    assert registry.version("1").tags["approved"] == "yes"
    fetched = registry.fetch("2", tmp_path / "fetched")
    assert (fetched / "deep" / "model.txt").read_text() == "two"
    unknown: list[Callable[[], Any]] = [
        lambda: registry.version("7"),
        lambda: registry.tag("7", "a", "b"),
        lambda: registry.fetch("7", tmp_path / "seven"),
        lambda: registry.promote("7", "1"),
    ]
    for ask in unknown:
        with pytest.raises(ConfigError, match="has no version 7"):
            ask()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.slow)])
def tracker(request: pytest.FixtureRequest) -> Tracker | FakeTracker:
    if request.param == "fake":
        return FakeTracker("tracked", "run-1")
    return Tracker(tracking_uri(request.getfixturevalue("store")), "tracked", "run-1")


def recorded(tracker: Tracker | FakeTracker, folder: Path) -> dict[str, Any]:
    """What is kept of the run: metrics, params, our tags, artefacts and status."""
    if isinstance(tracker, FakeTracker):
        kept = {name: content for name, content in tracker.artefacts.items() if name != "told.json"}
        found = {"metrics": tracker.metrics, "params": tracker.params, "artefacts": kept, "status": tracker.status}
        return {**found, "tags": tracker.tags}
    client = client_for(tracker.uri)
    run = client.get_run(tracker.mlflow_run_id)
    paths = [f.path for f in client.list_artifacts(run.info.run_id, "train")]
    kept = {p: Path(client.download_artifacts(run.info.run_id, p, str(folder))).read_bytes() for p in paths}
    data = run.data
    return {"metrics": data.metrics, "params": data.params, "artefacts": kept, "status": run.info.status,
            "tags": data.tags}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_a_tracker_keeps_what_a_step_recorded_and_how_the_run_ended(
    tracker: Tracker | FakeTracker, tmp_path: Path
) -> None:
    context = Context(pipeline="training", step="train", seed=7, root=tmp_path)
    context.metric("auc", 0.9)
    context.param("trees", 40)
    context.dataset("rows", Dataset("d" * 64, 3, {"a": "int64"}, "sim://", "training"))
    context.artefact("report.html").write_text("<p>")
    assert tracker.document("told.json") is None
    with pytest.raises(RuntimeError), tracker.running(context, {"trained_by": "a test"}) as run:
        tracker.record(context)
        tracker.keep("told.json", {"a": [1, None]})
        assert run == tracker.mlflow_run_id
        raise RuntimeError
    found = recorded(tracker, tmp_path)
    assert (found["metrics"], found["params"], found["status"]) == ({"train.auc": 0.9}, {"train.trees": "40"}, "FAILED")
    assert found["artefacts"] == {"train/report.html": b"<p>"}
    told = {"crm.pipeline": "training", "crm.seed": "7", "crm.trained_by": "a test", "crm.run_id": "run-1"}
    assert told.items() <= found["tags"].items()
    assert tracker.document("told.json") == {"a": [1, None]}
    assert {"seed": "7", "mlflow_run_id": tracker.mlflow_run_id}.items() <= tracker.lineage().items()
    tracker.finish()
    assert recorded(tracker, tmp_path)["status"] == "FINISHED"


def test_steps_inside_the_block_are_given_the_fake_registry(tmp_path: Path) -> None:
    with fake_registry() as found:
        from carrental_mlops.integrations import mlflow

        asked: Any = mlflow.registry_for(Context(root=tmp_path))
        assert asked is found
    assert isinstance(registry_for(Context(root=tmp_path)), Registry)


CONTENT = {"a.csv": b"a,b\n1,2\n", "deep/b.csv": b"a,b\n3,4\n", "_SUCCESS": b"", "deep/.hidden": b"x"}


@BOTH
def test_files_are_listed_read_fetched_and_told_by_digest(kind: str, tmp_path: Path) -> None:
    for name, content in CONTENT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    files: Files = FakeFiles(CONTENT) if kind == "fake" else LocalFiles(tmp_path)
    assert sorted((entry.path, entry.size) for entry in files.entries()) == [("a.csv", 8), ("deep/b.csv", 8)]
    found = files.contents(["deep/b.csv", "missing.csv"])
    assert found[0] == CONTENT["deep/b.csv"]
    assert isinstance(found[1], FileNotFoundError)
    with files.fetched("a.csv") as local:
        assert local.read_bytes() == CONTENT["a.csv"]
    assert files.digest("a.csv") not in (None, files.digest("deep/b.csv"))


def s3_of(address: str) -> Any:
    import boto3

    from carrental_mlops.integrations.s3 import S3Objects

    boto3.client("s3", endpoint_url=address, region_name="us-east-1").create_bucket(Bucket="bucket")
    return S3Objects("s3://bucket/")


@pytest.fixture
def objects(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An object store: the fake, or S3Objects on moto's server on this machine."""
    if request.param == "fake":
        yield FakeFiles()
        return
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    try:
        yield s3_of(address)
    finally:
        server.stop()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("objects", ["fake", pytest.param("real", marks=pytest.mark.slow)], indirect=True)
def test_an_object_is_created_once_listed_and_read_back(objects: Any) -> None:
    assert objects.create("deep/one.txt", b"1")
    assert not objects.create("deep/one.txt", b"2")
    assert [(entry.path, entry.size) for entry in objects.entries()] == [("deep/one.txt", 1)]
    assert objects.contents(["deep/one.txt"]) == [b"1"]
    with objects.fetched("deep/one.txt") as local:
        assert local.read_bytes() == b"1"
    with pytest.raises(DataError), objects.fetched("none.txt"):
        pass


@BOTH
def test_a_place_holds_what_was_written_and_is_empty_before(kind: str, tmp_path: Path) -> None:
    place: Place = FakePlace() if kind == "fake" else LocalPlace(tmp_path)
    assert place.read() == "{}\n"
    place.write('{"to": "rules"}\n')
    assert place.read() == '{"to": "rules"}\n'
    if isinstance(place, FakePlace):
        place.down = True
    else:
        place = LocalPlace(tmp_path / "file")
        (tmp_path / "file").write_text("no folder")
    before = place.read()
    with pytest.raises(PlatformError):
        place.write("{}\n")
    assert place.read() == before


def test_traffic_is_split_given_over_or_taken_back_and_as_it_was_after_a_refusal() -> None:
    """The fake alone: the real one splits in a cluster, and tests/e2e/test_cluster_promote.py holds it to the same."""
    traffic = FakeTraffic()
    split: Traffic = traffic
    split.set(5)
    split.set(5)
    assert split.weight() == 5
    traffic.down = True
    for change in (lambda: split.set(50), split.promote, split.roll_back):
        with pytest.raises(PlatformError):
            change()
    assert split.weight() == 5
    traffic.down = False
    split.promote()
    split.promote()
    assert (split.weight(), traffic.champion) == (100, "canary")
    other = FakeTraffic()
    other.set(25)
    other.roll_back()
    other.roll_back()
    assert (other.weight(), other.champion) == (0, "champion")
    with pytest.raises(PlatformError):
        other.set(50)


@pytest.mark.parametrize("builder", [FakeBuilder(), Buildah(), Docker(), Kaniko()], ids=lambda b: b.name)
def test_a_builder_names_the_image_in_its_commands_and_reads_the_digest_left(builder: Builder, tmp_path: Path) -> None:
    """Commands alone: the images of the real ones are built where their tools are, in tests/e2e."""
    order = Order(tmp_path, "Dockerfile", "localhost/fraud", "1.0", False, tmp_path / "kept")
    commands = builder.commands(order, tmp_path)
    assert all(isinstance(word, str) for command in commands for word in command)
    assert any("localhost/fraud:1.0" in word for word in commands[-1])
    (tmp_path / "digest").write_text("sha256:" + "0" * 64 + "\n")
    (tmp_path / "told.json").write_text('{"containerimage.digest": "sha256:' + "0" * 64 + '"}')
    assert builder.digest(tmp_path) == "sha256:" + "0" * 64


def test_the_fake_builder_runs_and_one_order_has_one_digest(tmp_path: Path) -> None:
    orders = [Order(tmp_path, "Dockerfile", "localhost/fraud", tag, False, tmp_path / "kept") for tag in "112"]
    digests = [build(FakeBuilder(), order) for order in orders]
    assert digests[0] == digests[1] != digests[2]


@BOTH
def test_a_classifier_gives_two_probabilities_a_row(kind: str) -> None:
    random = np.random.default_rng(0)
    rows, labels = random.normal(size=(50, 3)), np.arange(50) % 2
    classifier: Classifier = FakeClassifier() if kind == "fake" else LogisticRegression()
    scores = classifier.fit(rows, labels).predict_proba(rows)
    assert scores.shape == (50, 2)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0)
    assert np.array_equal(scores, classifier.predict_proba(rows))


@BOTH
def test_a_calibrator_never_falls_and_stays_within_0_and_1(kind: str) -> None:
    raw, labels = np.sort(np.random.default_rng(0).random(200)), (np.arange(200) > 120).astype(np.float64)
    calibrator: Calibrator = FakeCalibrator() if kind == "fake" else IsotonicRegression(out_of_bounds="clip")
    calibration = fitted(calibrator, raw, labels)
    applied = calibration.apply(raw)
    assert (np.diff(applied) >= 0).all()
    assert 0 <= applied.min() <= applied.max() <= 1


@BOTH
def test_a_clock_goes_on_by_what_is_slept(kind: str) -> None:
    clock: Any = FakeClock() if kind == "fake" else time
    before = clock.time(), clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() - before[1] >= 0.0099
    assert clock.time() - before[0] >= 0.009
    with pytest.raises(ValueError, match="non-negative"):
        clock.sleep(-1)
