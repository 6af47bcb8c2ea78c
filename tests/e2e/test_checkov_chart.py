"""checkov on what the chart makes for a fresh repo: nothing fails, nothing is waived.

checkov knows no SeldonDeployment, so it is given the Deployments that the operators make of the same pods.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendered_repos import EXAMPLE, NEW, OLD, as_operators_make_it, with_everything

from carrental_mlops.config import RepoConfig, load
from carrental_mlops.deploy.manifests.render import render

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def checkov() -> list[str]:
    """The command: the installed one, or uv's, in an environment of its own since it wants old versions of much."""
    if found := shutil.which("checkov"):
        return [found]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "--python", sys.executable, "--from", "checkov>=3.3,<4", "checkov"]
    pytest.skip("neither checkov nor uv is there")


def scanned(checkov: list[str], objects: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """checkov's results for `objects`."""
    (folder / "objects.yaml").write_text(yaml.safe_dump_all(objects))
    asked = ["--directory", str(folder), "--framework", "kubernetes", "--output", "json", "--skip-download"]
    done = subprocess.run([*checkov, *asked], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def failed(told: dict[str, Any]) -> list[str]:
    """What fails, in words."""
    return [f"{one['check_id']} {one['check_name']}: {one['resource']}" for one in told["results"]["failed_checks"]]


def _containers(made: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = made.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    return found


@pytest.mark.parametrize("env", ["staging", "prod"])
def test_a_fresh_repo_fails_no_check_and_waives_none(checkov: list[str], env: str, tmp_path: Path) -> None:
    config = RepoConfig.model_validate(load(EXAMPLE, env).value)
    told = scanned(checkov, as_operators_make_it(render(config, env, NEW, OLD).objects), tmp_path)
    assert failed(told) == []
    assert told["summary"]["passed"] > 80
    assert told["summary"]["skipped"] == 0


@pytest.mark.parametrize(("platform", "shape"), [("seldon", "ensemble"), ("kserve", "transformer")])
def test_a_graph_with_everything_on_fails_no_check(
    checkov: list[str], platform: str, shape: str, tmp_path: Path
) -> None:
    config = with_everything(platform=platform, shape=shape)
    limited = [node.model_copy(update={"resources": config.deploy.resources}) for node in config.deploy.nodes]
    assert config.deploy.batch
    batch = config.deploy.batch.model_copy(update={"resources": config.deploy.resources})
    deploy = config.deploy.model_copy(update={"nodes": tuple(limited), "batch": batch})
    objects = as_operators_make_it(render(config.model_copy(update={"deploy": deploy}), "prod", NEW, OLD).objects)
    unasked = [container for made in objects for container in _containers(made) if container["name"] == "audit-ship"]
    for container in unasked:  # nobody asks it, and the kubelet starts it again when it ends: no probe to answer
        assert "ports" not in container
        container["readinessProbe"] = container["livenessProbe"] = {"exec": {"command": ["true"]}}
    assert len(unasked) == 1
    assert failed(scanned(checkov, objects, tmp_path)) == []


def test_checkov_would_see_a_container_that_runs_as_root(checkov: list[str], tmp_path: Path) -> None:
    objects = as_operators_make_it(render(with_everything(), "prod", NEW, OLD).objects)
    for made in objects:
        for container in _containers(made):
            container["securityContext"].pop("allowPrivilegeEscalation")
    assert any("CKV_K8S_20" in said for said in failed(scanned(checkov, objects, tmp_path)))
