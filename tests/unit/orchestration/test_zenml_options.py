"""What a run on ZenML may be given: retries, resources, a schedule, a run configuration, a Model, hooks, a stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zen_option_steps as steps

from carrental_mlops.config.models import StepOptions
from carrental_mlops.core import Context, RunSummary
from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.orchestration import zenml, zenml_home

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("options")


HOOKS = zenml.RunHooks(on_success=steps.Options.on_success, on_failure=steps.Options.on_failure)


def _run(root: Path, hooks: zenml.RunHooks = HOOKS, **options: Any) -> RunSummary:
    return zenml.run(steps.Options, {}, Context(service="svc", root=root), zenml.RunOptions(**options), hooks)


def _stored(summary: RunSummary) -> Any:
    from zenml.client import Client

    return Client().get_pipeline_run(summary.run_id, allow_name_prefix_match=False)


def test_a_step_with_retries_is_tried_again(root: Path) -> None:
    (root / "failures").write_text("2")
    done = _run(root, enable_cache=False, steps={"flaky": StepOptions(retries=2, retry_delay_s=0)})
    assert done.load("flaky") == 5
    assert (root / "failures").read_text() == "0"
    (root / "failures").write_text("2")
    with pytest.raises(DataError, match="step `flaky`: not yet"):
        _run(root, enable_cache=False, steps={"flaky": StepOptions(retries=1, retry_delay_s=0)})
    (root / "failures").write_text("0")


def test_resources_reach_the_step_and_only_that_step(root: Path) -> None:
    done = _run(root, steps={"flaky": StepOptions(cpus=2, gpus=1, memory="3GB")})
    given = _stored(done).steps["flaky"].config.resource_settings
    assert (given.cpu_count, given.gpu_count, given.memory) == (2, 1, "3GB")
    assert _stored(done).steps["make"].config.resource_settings.memory is None


def test_a_run_configuration_gives_tags_a_model_and_settings_of_a_step(root: Path) -> None:
    config = root / "run.yaml"
    config.write_text(
        "tags: [nightly]\nmodel: {name: svc-model, tags: [tier2]}\nextra: {asked_by: me}\n"
        "steps:\n  flaky:\n    settings: {resources: {memory: 1GB}}\n"
    )
    done = _run(root, run_config=config, enable_cache=False)
    run = _stored(done)
    assert "nightly" in {tag.name for tag in run.tags}
    assert run.model_version.model.name == "svc-model"
    assert run.steps["flaky"].config.resource_settings.memory == "1GB"
    assert run.config.extra["crm"]["service"] == "svc"
    assert run.config.extra["asked_by"] == "me"


def test_success_and_failure_hooks_get_the_summary(root: Path) -> None:
    steps.TOLD.clear()
    _run(root)
    (root / "failures").write_text("1")
    with pytest.raises(DataError):
        _run(root, enable_cache=False)
    assert steps.TOLD == ["well: ['make', 'halved', 'flaky']", "failed: flaky: step `flaky`: not yet"]


def test_a_failing_failure_hook_does_not_hide_what_failed(root: Path) -> None:
    def broken(summary: RunSummary, error: BaseException) -> None:
        raise ValueError("no network")

    (root / "failures").write_text("1")
    with pytest.raises(DataError, match="not yet") as caught:
        _run(root, hooks=zenml.RunHooks(on_failure=broken), enable_cache=False)
    assert "on_failure raised ValueError('no network')" in caught.value.__notes__[-1]


def test_zenmls_own_hooks_run_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    compiled = zenml.compile_pipeline(steps.Options, {}, on_success=steps.step_went_well, enable_cache=False)
    compiled()
    assert (root / "told.txt").read_text() == "zenml: well"


def test_a_model_of_zenml_keeps_what_the_run_made(root: Path) -> None:
    from zenml import Model

    run = zenml.compile_pipeline(steps.Options, {}, model=Model(name="kept"), enable_cache=False)()
    assert run.model_version.model.name == "kept"
    assert "options::flaky::output" in run.model_version.data_artifacts


def test_a_teams_zenml_step_fills_a_slot_and_its_defaults_are_config(root: Path) -> None:
    cls = steps.Options.slots()["halved"]
    done = zenml.run(steps.Options, {"halved": cls.config_model()(share=0.2)}, Context(service="svc", root=root))
    assert (len(done.load("halved").kept), done.load("halved").left_out) == (2, 8)


def test_options_of_a_step_that_is_not_there_are_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match="no step `flakey`"):
        _run(root, steps={"flakey": StepOptions(retries=1)})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tags: [a]\nsteps: {flaky: [\n", "broken.yaml:3: not YAML"),
        ("tags: [a]\ntags: [b]\n", "broken.yaml:2: key `tags` stands twice"),
        ("tags: [a]\nsteps:\n  flaky: 7\n", "broken.yaml:3: `steps.flaky`"),
    ],
)
def test_a_run_configuration_that_does_not_hold_is_refused_with_its_line(root: Path, text: str, told: str) -> None:
    (root / "broken.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        _run(root, run_config=root / "broken.yaml")
    assert told in error.value.what


def test_a_schedule_the_local_orchestrator_cannot_hold_is_refused(root: Path) -> None:
    config = root / "schedule.yaml"
    config.write_text('schedule: {cron_expression: "0 3 * * *"}\n')
    with pytest.raises(ConfigError, match="does not support scheduling"):
        _run(root, hooks=zenml.RunHooks(), run_config=config)


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A ZenML of the user's own, as a fresh process with ZENML_CONFIG_PATH would find it."""
    monkeypatch.setattr(zenml_home, "_theirs", str(tmp_path / "theirs"))
    zenml_home._opened[:] = [tmp_path]
    yield
    zenml_home._opened[:] = [tmp_path]


@pytest.fixture
def cron(root: Path, theirs: None) -> Any:
    """A client of the user's own ZenML, which has a stack whose orchestrator takes schedules."""
    from zenml.enums import StackComponentType

    client = zenml_home.open_home(root, "default")
    kind = StackComponentType.ORCHESTRATOR
    client.create_flavor("zen_option_steps.CronFlavor", kind)
    client.create_stack_component("cron", "cron", kind, {})
    client.create_stack("cron", {kind: "cron", StackComponentType.ARTIFACT_STORE: "default"})
    return client


def test_a_schedule_is_registered_on_a_stack_that_takes_it(root: Path, cron: Any, tmp_path: Path) -> None:
    config = tmp_path / "schedule.yaml"
    config.write_text('schedule: {name: nightly, cron_expression: "0 3 * * *"}\n')
    assert _run(root, run_config=config, stack="cron").steps == ()
    held = cron.get_schedule("nightly")
    assert held.cron_expression == "0 3 * * *"


def test_a_named_stack_of_the_users_own_zenml_runs_it(root: Path, cron: Any, tmp_path: Path) -> None:
    done = _run(root, stack="default")
    assert done.urls["zenml"] == "stack default"
    assert cron.zen_store.url.startswith(f"sqlite:///{tmp_path / 'theirs'}")
    assert [r.name for r in cron.list_pipeline_runs()] == [done.run_id]
    with pytest.raises(ConfigError, match="no stack `crom`"):
        _run(root, stack="crom")


def test_the_configured_server_is_the_one_that_is_asked(
    root: Path, theirs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZENML_STORE_URL", "")
    monkeypatch.delenv("ZENML_STORE_URL")
    server = f"sqlite:///{tmp_path}/their.db"
    assert zenml_home.open_home(root, "default", server).zen_store.url == server
