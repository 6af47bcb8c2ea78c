"""A model's way into a real registry, and the report of it."""

from __future__ import annotations

import multiprocessing
import resource
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.data.model import Calibration, Model
from carrental_mlops.errors import ConfigError, DataError, PlatformError
from carrental_mlops.files import whole_file
from carrental_mlops.steps import (
    Champion,
    ChampionConfig,
    ChampionStep,
    Comparison,
    Evaluation,
    ExplainConfig,
    ExplainStep,
    RegisterConfig,
    RegisterStep,
    Registration,
    ReportConfig,
    ReportStep,
    Verdict,
)
from carrental_mlops.steps.evaluate import EvaluateConfig, EvaluateStep
from carrental_mlops.steps.tables import TestRows, TrainRows

COLUMNS = Columns(id="id", time="t", label="y", entities=(), amount="eur")
YES = Verdict(True, (), promote=True)


def rows(n: int = 600, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    label = (x[:, 0] + rng.normal(size=n) > 1).astype("int8")
    when = pd.date_range("2026-01-01", periods=n, freq="h", tz="UTC")
    return pd.DataFrame({"id": range(n), "t": when, "y": label, "eur": np.exp(x[:, 1]), "a": x[:, 0], "b": x[:, 1]})


def model(trees: int = 10) -> Model:
    from lightgbm import LGBMClassifier

    data = rows()
    estimator = LGBMClassifier(n_estimators=trees, n_jobs=1, verbose=-1).fit(data[["a", "b"]].to_numpy(), data["y"])
    return Model(estimator, ("a", "b"), Calibration((0.0, 1.0), (0.01, 0.99)), 0.3)


def evaluation(version: str = "") -> Evaluation:
    return Evaluation({"roc_auc": 0.9}, rows=10, positives=2, champion=Comparison(version))


def register(root: Path, candidate: Model, verdict: Verdict = YES, champion: Champion | None = None) -> Registration:
    trees = getattr(candidate.estimator, "n_estimators", 0)
    context = Context(run_id=f"run-{trees}", root=root, service="fraud", stores=True)
    step = RegisterStep(RegisterConfig(), context)
    champion = champion or Champion()
    return step.run(
        model=candidate, train=TrainRows(rows()), evaluation=evaluation(), verdict=verdict, champion=champion
    )


def champion(root: Path) -> Champion:
    return ChampionStep(context=Context(root=root, service="fraud", stores=True)).run()


def test_there_is_no_champion_before_the_first_registry(tmp_path: Path) -> None:
    assert champion(tmp_path).model is None
    assert list(tmp_path.iterdir()) == []


def test_a_champion_survives_saving_and_notices_tampering(tmp_path: Path) -> None:
    from carrental_mlops.data.measures.drift import profile

    before = Champion(model(), "7", profile(rows(), ["a"]), "abc")
    before.save(tmp_path / "c")
    after = Champion.load(tmp_path / "c")
    assert (after.version, after.digest, after.profile) == ("7", "abc", before.profile)
    assert after.model is not None and before.model is not None
    assert np.array_equal(after.model.score(rows()), before.model.score(rows()))
    text = (tmp_path / "c" / "model" / "model.txt").read_text()
    (tmp_path / "c" / "model" / "model.txt").write_text(text.replace("leaf", "loaf", 1))
    with pytest.raises(DataError, match="digest"):
        Champion.load(tmp_path / "c")
    Champion().save(tmp_path / "none")
    assert Champion.load(tmp_path / "none").model is None


def test_the_first_that_passes_is_champion_then_only_a_better_one(tmp_path: Path) -> None:
    refused = register(tmp_path, model(), Verdict(False, ("roc_auc is low",)))
    assert refused.version is None and "roc_auc is low" in refused.reason and not (tmp_path / ".crm").exists()

    first = register(tmp_path, model())
    assert first.alias == "champion"
    now = champion(tmp_path)
    assert now.version == first.version and now.model is not None and set(now.profile) == {"a", "b"}
    [pins] = (tmp_path / ".crm" / "mlartifacts").rglob("requirements.txt")
    assert "\nlightgbm==" in pins.read_text()
    assert "skops" not in pins.read_text(), "a booster needs none"
    assert np.array_equal(now.model.score(rows()), model().score(rows()))

    assert register(tmp_path, model(), champion=now).reason == "it is the champion already"
    equal = register(tmp_path, model(11), Verdict(True, (), promote=False), now)
    assert equal.alias == "challenger" and champion(tmp_path).version == first.version

    winner, loser = register(tmp_path, model(12), champion=now), register(tmp_path, model(13), champion=now)
    assert winner.alias == "champion" and champion(tmp_path).version == winner.version
    assert loser.alias == "challenger" and f"another run has promoted {winner.version}" in loser.reason


def named(root: Path, **config: str) -> Champion:
    context = Context(root=root, service="fraud", stores=True)
    return ChampionStep(ChampionConfig(**config), context).run()


def test_a_version_that_is_named_is_read_whoever_is_champion_now(tmp_path: Path) -> None:
    first = register(tmp_path, model())
    later = register(tmp_path, model(12), champion=champion(tmp_path))
    assert champion(tmp_path).version == later.version != first.version
    assert first.version is not None and first.digest is not None
    found = named(tmp_path, version=first.version, digest=first.digest)
    assert found.version == first.version and found.model is not None and found.digest == first.digest
    assert np.array_equal(found.model.score(rows()), model().score(rows()))
    with pytest.raises(DataError, match=f"version {later.version} is another model than the one that is named"):
        named(tmp_path, version=str(later.version), digest=first.digest)
    with pytest.raises(ConfigError, match="99"):
        named(tmp_path, version="99")


def test_a_version_that_is_named_is_not_left_out_where_there_is_no_registry(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="version 7 is named, and there is no registry"):
        named(tmp_path, version="7")


def test_evaluation_measures_the_champion_on_the_same_rows_and_names_a_lost_column() -> None:
    test, step = TestRows(rows(seed=1)), EvaluateStep(EvaluateConfig(columns=COLUMNS))
    found = step.run(model=model(), test=test, champion=Champion(model(), "3"))
    assert found.champion.metrics["roc_auc"] == found.metrics["roc_auc"]
    assert found.champion.differences["roc_auc"].low == found.champion.differences["roc_auc"].high == 0.0
    assert "cost_eur_per_1000" not in found.metrics
    lost = Champion(Model(model().estimator, ("a", "gone")), "3")
    assert "gone" in step.run(model=model(), test=test, champion=lost).champion.problem


def test_evaluation_refuses_labels_that_are_not_0_or_1() -> None:
    test = TestRows(rows().assign(y=2))
    with pytest.raises(DataError, match="only 0 and 1"):
        EvaluateStep(EvaluateConfig(columns=COLUMNS)).run(model=model(), test=test, champion=Champion())


@pytest.mark.parametrize("kind", ["lightgbm", "scikit-learn"])
def test_the_feature_that_makes_the_label_explains_most(kind: str) -> None:
    from sklearn.linear_model import LogisticRegression

    data = rows()
    other = Model(LogisticRegression().fit(data[["a", "b"]].to_numpy(), data["y"]), ("a", "b"))
    step = ExplainStep(ExplainConfig(rows=60))
    found = step.run(model=model() if kind == "lightgbm" else other, test=TestRows(data))
    assert [one.feature for one in found.features] == ["a", "b"]
    assert found.features[0].direction > 0.5 and found.rows == 60
    assert found.unit == ("log-odds" if kind == "lightgbm" else "probability")
    assert step.context.artefacts["importance.json"].exists()


def report(root: Path, **extra: object) -> ReportStep:
    step = ReportStep(ReportConfig(columns=COLUMNS), Context(run_id="r1", root=root, service="fraud", stores=True))
    test, candidate = TestRows(rows(seed=1)), model()
    seen = EvaluateStep(EvaluateConfig(columns=COLUMNS)).run(
        model=candidate, test=test, champion=Champion(model(5), "3")
    )
    told = step.run(
        model=candidate,
        train=TrainRows(rows()),
        test=test,
        evaluation=seen,
        verdict=Verdict(False, ("<b>roc_auc</b> is low",), checks=("not met: <b>roc_auc</b> is low",)),
        explanation=ExplainStep(ExplainConfig(rows=50)).run(model=candidate, test=test),
        champion=Champion(),
        registration=Registration("d" * 64, reason="not registered"),
    )
    assert told.path == ".crm/reports/r1.html" and set(told.drift) == {"a", "b"}
    return step


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "path", "circle", "rect"):
            self.open.append(tag)
        self.outside += [str(v) for k, v in attrs if k in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "circle", "rect"):
            assert self.open.pop() == tag


def test_the_report_is_one_file_that_loads_nothing_and_escapes_what_it_is_told(tmp_path: Path) -> None:
    step = report(tmp_path)
    text = (tmp_path / ".crm" / "reports" / "r1.html").read_text()
    assert text == step.context.artefacts["report.html"].read_text()
    page = _Page()
    page.feed(text)
    assert page.open == [] and page.outside == [] and "<script" not in text
    assert "The gate said no" in text and "&lt;b&gt;roc_auc" in text and "<b>roc_auc" not in text
    for part in (
        "Data",
        "Metrics",
        "Curves and calibration",
        "Segments",
        "Drift",
        "Lineage",
        "champion 3",
        "quarter of",
    ):
        assert part in text


def _report_on_a_full_disk(root: Path, told: multiprocessing.Queue[str]) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
    try:
        report(root)
    except PlatformError as error:
        told.put(str(error))


def test_a_full_disk_at_the_report_is_a_platform_error_and_leaves_no_half_file(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("spawn")
    told: multiprocessing.Queue[str] = processes.Queue()
    child = processes.Process(target=_report_on_a_full_disk, args=(tmp_path, told))
    child.start()
    message = told.get(timeout=60)
    child.join()
    assert "cannot be written" in message and "Fix: free space" in message
    assert list(tmp_path.rglob("*.html*")) == []


def test_a_file_is_replaced_whole_or_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out" / "a.txt"
    with whole_file(path) as draft:
        draft.write_text("one")
    with pytest.raises(ValueError, match="stop"), whole_file(path) as draft:
        draft.write_text("two")
        raise ValueError("stop")
    assert path.read_text() == "one" and [p.name for p in path.parent.iterdir()] == ["a.txt"]
