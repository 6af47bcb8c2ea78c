"""Tiny pipelines on a real ZenML store; one repo for the whole module."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import zen_team_steps as team
import zen_tiny_steps as tiny

from carrental_mlops.core import Context, RunSummary, StepOutcome
from carrental_mlops.errors import ConfigError, ContractError, DataError
from carrental_mlops.integrations.mlflow import find_run
from carrental_mlops.orchestration import zenml

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repo")


@pytest.fixture(scope="module")
def first(root: Path) -> RunSummary:
    return zenml.run(tiny.Tiny, {}, _told(root, seed=4))


def _told(root: Path, seed: int = 0) -> Context:
    return Context(service="svc", seed=seed, root=root)


def _again(root: Path, hooks: zenml.RunHooks | None = None, **options: Any) -> RunSummary:
    return zenml.run(tiny.Tiny, {}, _told(root, seed=4), zenml.RunOptions(**options), hooks or zenml.RunHooks())


def test_every_step_completes_and_tells_what_it_measured(first: RunSummary) -> None:
    assert [(s.slot, s.status) for s in first.steps] == [(s, "completed") for s in ("make", "cut", "weigh", "judge")]
    assert first.engine == "zenml"
    assert first.metrics() == {"rows": 10.0, "weight": 10.0}


def test_a_warning_of_the_package_is_heard_after_zenml_has_raised_the_roots_level(first: RunSummary) -> None:
    assert logging.getLogger("carrental_mlops.serving.online").isEnabledFor(logging.WARNING)


def test_tables_keep_index_dtypes_and_time_zone(first: RunSummary) -> None:
    halves = first.load("cut")
    assert list(halves.low.index) == [f"r{i}" for i in range(5)]
    assert str(halves.low["at"].dtype) == "datetime64[ns, UTC]"
    pd.testing.assert_frame_equal(pd.concat(halves), first.load("make"))


def test_dataclasses_and_saved_objects_come_back_as_themselves(first: RunSummary) -> None:
    worth = first.load("judge")
    assert isinstance(worth, tiny.Worth)
    assert worth.notes == ("a", "svc")
    assert pd.isna(worth.metrics["nan"])
    assert first.load("weigh").weight == 10.0


def test_nothing_is_pickled(first: RunSummary, root: Path) -> None:
    names = {p.name for p in (root / ".crm" / "zenml").rglob("*") if p.is_file()}
    assert not [n for n in names if "pkl" in n or "pickle" in n]


def test_a_second_run_takes_all_but_the_uncacheable_step_from_the_cache(first: RunSummary, root: Path) -> None:
    tiny.CALLS.clear()
    told: list[tuple[str, str]] = []

    def on_step(slot: str, outcome: StepOutcome | None) -> None:
        told.append((slot, outcome.status if outcome else "begins"))

    again = _again(root, zenml.RunHooks(on_step))
    assert tiny.CALLS == ["judge"]
    assert [s.status for s in again.steps] == ["cached", "cached", "cached", "completed"]
    assert [t for t in told if t[1] != "begins"] == [
        ("make", "cached"),
        ("cut", "cached"),
        ("weigh", "cached"),
        ("judge", "completed"),
    ]
    assert again.metrics() == first.metrics()


def test_cached_steps_metrics_reach_mlflow(first: RunSummary, root: Path) -> None:
    again = _again(root)
    found = find_run(again.urls["mlflow"], "svc", again.run_id)
    assert found.status == "FINISHED"
    assert found.metrics == {"make.rows": 10.0, "judge.weight": 10.0}
    seeds = {f"{slot}.seed": "4" for slot in ("make", "cut", "weigh", "judge")}
    assert found.params == {"make.source": "made up", **seeds}


def test_another_config_or_seed_runs_the_step_again(first: RunSummary, root: Path) -> None:
    tiny.CALLS.clear()
    zenml.run(tiny.Tiny, {"make": tiny.MakeConfig(rows=12)}, _told(root, seed=4))
    assert tiny.CALLS == ["make", "cut", "weigh", "judge"]
    tiny.CALLS.clear()
    zenml.run(tiny.Tiny, {}, _told(root, seed=5))
    assert "make" in tiny.CALLS


def test_an_overridden_hook_runs_its_step_again_and_no_other(first: RunSummary, root: Path) -> None:
    tiny.CALLS.clear()
    changed = zenml.run(tiny.HeavyTiny, {}, _told(root, seed=4))
    assert tiny.CALLS == ["weigh", "judge"]
    assert changed.load("weigh").weight == 55.0


def test_one_step_runs_with_what_it_needs(first: RunSummary, root: Path) -> None:
    summary = _again(root, only_step="cut")
    assert [s.slot for s in summary.steps] == ["make", "cut"]
    with pytest.raises(ConfigError, match="no step `cud`"):
        _again(root, only_step="cud")


def test_a_failing_step_is_named_and_its_run_ends_failed(first: RunSummary, root: Path) -> None:
    failed: list[RunSummary] = []
    hooks = zenml.RunHooks(on_failure=lambda s, e: failed.append(s))
    with pytest.raises(DataError, match="step `breaks`: column `n` is empty"):
        zenml.run(team.Broken, {}, _told(root), hooks=hooks)
    assert [(s.slot, s.status) for s in failed[0].steps][-1] == ("breaks", "failed")
    assert find_run(failed[0].urls["mlflow"], "svc", failed[0].run_id).status == "FAILED"


def test_a_type_that_only_pickle_could_keep_is_refused_before_the_run(first: RunSummary, root: Path) -> None:
    with pytest.raises(ContractError, match="without pickle"):
        zenml.run(team.Unkept, {}, _told(root))


def test_a_teams_functions_fill_slots(first: RunSummary, root: Path) -> None:
    summary = zenml.run(team.Team, {}, _told(root))
    assert summary.load("told") == {"size": 10, "mean": 9.0}
    parted = summary.load("parted")
    assert (parted.size, parted.mean) == (10, 9.0)


def test_as_step_is_a_step_of_a_teams_own_pipeline(first: RunSummary, root: Path) -> None:
    from zenml import pipeline

    @pipeline(enable_cache=False)
    def own() -> None:
        rows = zenml.as_step(tiny.Make, tiny.MakeConfig(rows=6))()
        halves = zenml.as_step(tiny.Cut)(rows=rows)
        zenml.as_step(tiny.Weigh)(low=halves.low, high=halves.high)

    own()
    from zenml.client import Client

    run = Client().list_pipeline_runs(sort_by="desc:created", size=1).items[0]
    assert run.steps["Weigh"].outputs["output"][0].load().weight == 6.0


def test_a_corrupted_artefact_is_refused_with_both_digests(first: RunSummary, root: Path) -> None:
    changed = zenml.run(tiny.Tiny, {"make": tiny.MakeConfig(rows=7)}, _told(root))
    assert changed.load("weigh").weight == 7.0
    stored = [p for p in (root / ".crm" / "zenml").rglob("thing.json") if '"weight": 7.0' in p.read_text()]
    for path in stored:
        path.write_text('{"weight": 99.0}')
    with pytest.raises(DataError, match=r"sha256 [0-9a-f]{64}, [0-9a-f]{64} was recorded"):
        changed.load("weigh")


_FRESH = """
import sys, uuid
from zenml.client import Client
from zenml.entrypoints.step_entrypoint_configuration import StepEntrypointConfiguration as Entry
run = Client().get_pipeline_run(sys.argv[1], allow_name_prefix_match=False)
Client().active_stack.orchestrator._orchestrator_run_id = str(uuid.uuid4())
for name in ("make", "cut", "weigh", "judge"):
    arguments = Entry.get_entrypoint_arguments(step_name=name, snapshot_id=run.snapshot.id)
    Entry(arguments=arguments).run()
last = Client().list_pipeline_runs(sort_by="desc:created", size=1).items[0]
assert last.id != run.id
print("judged", last.steps["judge"].outputs["output"][0].load().metrics["weight"], "zen_tiny_steps" in sys.modules)
"""


def test_steps_run_in_a_fresh_process_through_zenmls_own_entrypoint(
    first: RunSummary, root: Path, tmp_path: Path
) -> None:
    extra = {"root": str(root), "service": "svc", "pipeline": "tiny"}
    uncached = zenml.compile_pipeline(tiny.Tiny, {}, extra=extra, enable_cache=False)()
    script = tmp_path / "fresh.py"
    script.write_text(_FRESH)
    environment = os.environ | {"PYTHONPATH": str(HERE), "ZENML_CONFIG_PATH": str(root / ".crm" / "zenml")}
    done = subprocess.run(
        [sys.executable, str(script), uncached.name], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["judged 10.0 True"], done.stderr[-2000:]


def test_a_moved_repo_goes_on_with_its_runs(first: RunSummary, root: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    root.rename(moved)
    try:
        tiny.CALLS.clear()
        again = _again(moved)
        assert again.load("weigh").weight == 10.0
        assert tiny.CALLS == ["judge"], "a step was not taken from the cache"
        assert not root.exists()
    finally:
        moved.rename(root)
