"""`crm render` in the example repo."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from releases import release, stored
from rendered_repos import EXAMPLE

from carrental_mlops.deploy.releases.store import ReleaseStore

pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A copy of the example, without runs and without releases."""
    return Path(
        shutil.copytree(EXAMPLE, tmp_path / "fraud-payments", ignore=shutil.ignore_patterns(".*_cache", ".crm"))
    )


def test_before_the_first_release_a_preview_says_that_it_is_one(repo: Path, crm: Any) -> None:
    printed = crm("render", "--env", "prod", "--repo", str(repo))
    assert printed.code == 0
    objects = list(yaml.safe_load_all(printed.out))
    assert {one["metadata"]["labels"]["crm.carrental/release"] for one in objects} == {"prod-preview"}
    assert "no release in prod yet, so this is a preview of no model" in printed.err


def test_the_newest_release_is_rendered_with_the_crm_yaml_of_now(repo: Path, crm: Any) -> None:
    store = ReleaseStore(repo, "releases/")
    for version in ("3", "4"):
        store.add("prod", lambda name, version=version: stored(name, version))  # type: ignore[misc]
    sets = ["--set", "deploy.platform=kserve", "--set", "deploy.rollout.kind=direct"]
    said = crm("render", "--env", "prod", "--json", *sets, "--repo", str(repo))
    told = json.loads(said.out)
    assert told["release"] == "prod-2"
    (made,) = [one for one in told["objects"] if one["kind"] == "InferenceService"]
    assert made["spec"]["predictor"]["labels"]["crm.carrental/model-version"] == "4"
    assert made["spec"]["predictor"]["containers"][0]["image"] == release().image


def test_a_release_beside_a_champion_shows_the_rollout(repo: Path, crm: Any) -> None:
    store = ReleaseStore(repo, "releases/")
    for version in ("3", "4"):
        store.add("prod", lambda name, version=version: stored(name, version))  # type: ignore[misc]
    asked = ["render", "--env", "prod", "--release", "prod-2", "--champion", "prod-1", "--weight", "30", "--json"]
    said = crm(*asked, "--set", "deploy.rollout.kind=canary", "--repo", str(repo))
    (made,) = [one for one in json.loads(said.out)["objects"] if one["kind"] == "SeldonDeployment"]
    assert [one["traffic"] for one in made["spec"]["predictors"]] == [70, 30]


def test_out_writes_a_file_an_object_and_the_values(repo: Path, tmp_path: Path, crm: Any) -> None:
    out = tmp_path / "rendered"
    for _ in range(2):
        said = crm("render", "--env", "staging", "--out", str(out), "--repo", str(repo))
        assert said.code == 0
    names = {path.name for path in out.iterdir()}
    assert {"values.yaml", "seldondeployment-fraud-payments.yaml", "networkpolicy-fraud-payments-deny.yaml"} <= names
    assert yaml.safe_load((out / "values.yaml").read_text())["env"] == "staging"
    assert str(out / "values.yaml") in said.out


def test_what_the_platform_cannot_run_exits_1_and_names_what_it_can(repo: Path, crm: Any) -> None:
    sets = ["--set", "deploy.platform=kserve", "--set", "deploy.shape=ensemble"]
    said = crm("render", "--env", "prod", *sets, "--repo", str(repo))
    assert said.code == 1 and "Fix: set deploy.platform: seldon" in said.err


def test_an_unknown_release_exits_1(repo: Path, crm: Any) -> None:
    said = crm("render", "--env", "prod", "--release", "prod-9", "--repo", str(repo))
    assert said.code == 1 and "no release `prod-9`" in said.err
