"""Services outside that an environment's overlay names reach what uses them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from carrental_mlops.config.variables import online_url
from carrental_mlops.core.repo import ModelRepo, open_repo
from carrental_mlops.errors import ConfigError, CrmError
from carrental_mlops.orchestration.launch import Request, launch

CRM = """\
service: outside
package: outside_repo
owner: team@example.com
tier: 2
environments: [local, staging]
columns: {id: id, time: at, label: bad, entities: [customer_id]}
"""
STAGING = """\
zenml: {stack: staging-eu}
mlflow: {tracking_uri: "sqlite:///{root}/theirs.db"}
feast: {online: "redis://features.staging:6379/3"}
"""
PIPELINES = """\
from typing import final
from carrental_mlops.core import Pipeline, Step, step
from carrental_mlops.steps.materialise import MaterialiseConfig


class Tell(Step):
    config: MaterialiseConfig

    @final
    def run(self) -> str:
        self.context.metric("told", 1.0)
        return str(self.config.feast.online)


class Telling(Pipeline):
    name = "telling"
    tell = step(Tell)

    def build(self) -> None:
        self.tell.run()
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "src" / "outside_repo"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "pipelines.py").write_text(PIPELINES)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "crm.yaml").write_text(CRM)
    (tmp_path / "config" / "staging.yaml").write_text(STAGING.replace("{root}", str(tmp_path)))
    monkeypatch.delenv("CRM_REDIS_URL", raising=False)
    for name in [n for n in sys.modules if n.partition(".")[0] == "outside_repo"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def _told(repo: ModelRepo, env: str | None) -> str:
    return str(launch(repo, Request("telling", "local", env)).load("tell"))


def test_a_step_gets_the_online_store_of_the_overlay(root: Path) -> None:
    assert _told(open_repo(root), None) == "None"
    assert _told(open_repo(root, "staging"), "staging") == "redis://features.staging:6379/3"


def test_crm_redis_url_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert online_url() is None and online_url("redis://a:1/0") == "redis://a:1/0"
    monkeypatch.setenv("CRM_REDIS_URL", "redis://user:secret@b:2/0")
    assert online_url("redis://a:1/0") == "redis://user:secret@b:2/0"


def test_the_url_may_lie_in_a_file_as_a_secret_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "redis-url"
    monkeypatch.delenv("CRM_REDIS_URL", raising=False)
    monkeypatch.setenv("CRM_REDIS_URL_FILE", str(file))
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        online_url()
    file.write_text("rediss://user:secret@b:2/0\n")
    assert online_url("redis://a:1/0") == "rediss://user:secret@b:2/0"
    monkeypatch.setenv("CRM_REDIS_URL", "redis://c:3/0")
    assert online_url() == "redis://c:3/0"


def test_a_password_in_the_file_is_refused_and_not_shown(root: Path) -> None:
    (root / "config" / "staging.yaml").write_text('feast: {online: "redis://u:s3cret@host:6379/0"}\n')
    with pytest.raises(ConfigError, match=r"config/staging.yaml:1: `feast.online`.*CRM_REDIS_URL") as refused:
        open_repo(root, "staging")
    assert "s3cret" not in str(refused.value)


def test_the_online_store_of_one_step_alone_is_refused(root: Path) -> None:
    (root / "config" / "staging.yaml").write_text('steps: {tell: {feast: {online: "redis://h:1/0"}}}\n')
    repo = open_repo(root, "staging")
    with pytest.raises(ConfigError, match="`feast` of one step alone"):
        repo.step_configs(repo.pipeline("telling"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_crm_run_honours_the_stack_and_the_tracking_server_of_the_overlay(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CrmError, match="no stack `staging-eu`"):
        launch(open_repo(root, "staging"), Request("telling", "zenml", "staging"))
    overlay = root / "config" / "staging.yaml"
    overlay.write_text("".join(line for line in overlay.read_text().splitlines(True) if "zenml" not in line))
    launch(open_repo(root, "staging"), Request("telling", "zenml", "staging"))
    assert (root / "theirs.db").is_file() and not (root / ".crm" / "mlflow.db").exists()
    launch(open_repo(root), Request("telling"))
    assert (root / ".crm" / "mlflow.db").is_file()
