"""From `crm new` to a release in production, its canary, and back: the very commands of the two tutorials.

The API server, etcd, controllers and scheduler are real; kwok stands for the kubelets, and what the predictors name
runs as processes of the pushed images behind HAProxy, watched by a real Prometheus (image_nodes.py). AWS is emulated.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aws_emulated import emulated_aws, prepare, terraform_or_skip
from console_pages import Command, run_page
from control_plane import ControlPlane
from image_nodes import BUILDAH, base_image, image_nodes, missing, process, registry
from operator_stand_in import OperatorStandIn
from osv_records import osv_record

pytestmark = pytest.mark.e2e
DOCS = Path(__file__).parents[2] / "docs"
CRM = Path(sys.executable).with_name("crm")
STAGING, PROD = "fraud-staging", "fraud-prod"
_BUILD, _DEPLOY = "crm image build --env staging --version 1", "crm deploy --env staging"


@dataclass
class Clock:
    """Wall time of each command until what it asked for runs (seconds), in order."""

    settle: Callable[[], None]
    took: list[tuple[str, float]] = field(default_factory=list)

    def __call__(self, command: Command, seconds: float) -> None:
        began = time.monotonic()
        if command.line.startswith("crm deploy"):
            self.settle()
        self.took.append((command.line.partition("\n")[0], seconds + time.monotonic() - began))

    def between(self, first: str, last: str) -> float:
        """From the start of the first command that begins so to the end of the first one that begins with `last`."""
        lines = [line for line, _ in self.took]
        begins, ends = (next(n for n, line in enumerate(lines) if line.startswith(one)) for one in (first, last))
        return sum(seconds for _, seconds in self.took[begins : ends + 1])

    def table(self) -> str:
        """One line a command, and the figure that matters."""
        lines = [f"{seconds:8.1f} s  {line[:100]}" for line, seconds in self.took]
        made = self.between(_BUILD, _DEPLOY)
        return "\n".join([*lines, f"from a trained model to an Available release: {made:.0f} s (image, push, deploy)"])


@pytest.fixture
def place(
    plane: ControlPlane, operators: OperatorStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[dict[str, str], Callable[[], None]]]:
    """What the second tutorial wants to be told, with all of it running; what waits until images run."""
    terraform_or_skip()
    lacks = [*missing(), *({"kube-controller-manager", "kube-scheduler", "kwok"} - set(plane.processes))]
    if lacks:
        pytest.skip(f"no {', '.join(lacks)}: apt-get install what Debian has, `make control-plane` for the rest")
    folder = tmp_path / "place"
    folder.mkdir()
    for name, value in BUILDAH.items():
        monkeypatch.setenv(name, value)
    with ExitStack() as stack:
        address = stack.enter_context(registry(folder))
        aws = stack.enter_context(emulated_aws(folder))
        nodes = stack.enter_context(image_nodes(plane, folder, (STAGING, PROD)))
        told = {
            **aws,
            "KUBECONFIG": str(plane.kubeconfig),
            "REGISTRY": address,
            "PROMETHEUS": f"http://127.0.0.1:{nodes.prometheus_port}",
            "STAGING_URL": f"http://127.0.0.1:{nodes.namespaces[STAGING]}",
            "PROD_URL": f"http://127.0.0.1:{nodes.namespaces[PROD]}",
            "CRM_BUILD_ARG": f"BASE={base_image(folder)}",
            "CRM_OSV": str(_osv(folder / "osv")),
            **_key_of_cosign(folder),
        }
        yield told, nodes.settle
        assert nodes.failed == []
        for namespace in (STAGING, PROD):
            plane.kubectl("delete", "namespace", namespace, "--wait=false", check=False)


def _key_of_cosign(folder: Path) -> dict[str, str]:
    """Where cosign is, it signs by a key: no OIDC issuer knows this machine."""
    if cosign := shutil.which("cosign"):
        variables = {"COSIGN_KEY": str(folder / "cosign.key"), "COSIGN_PASSWORD": ""}
        subprocess.run([cosign, "generate-key-pair"], cwd=folder, env={**os.environ, **variables}, check=True)
        return variables
    return {}


def test_the_tutorials_commands_bring_a_model_to_production_and_back(
    plane: ControlPlane,
    place: tuple[dict[str, str], Callable[[], None]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    variables, settle = place
    who = ("git", "config", "--global", "user.email", "ann@example.com")
    subprocess.run(who, check=True)
    subprocess.run((*who[:3], "user.name", "Ann"), check=True)
    clock, root = Clock(settle), tmp_path / "fraud-tutorial"
    run_page(DOCS / "tutorial.md", tmp_path, variables, clock)
    prepare(variables, root)
    with callers(root, variables):
        run_page(DOCS / "tutorial-deploy.md", tmp_path, variables, clock)
    with capsys.disabled():
        sys.stdout.write(f"\n{clock.table()}\n")
    [found] = plane.get("seldondeployments", PROD)
    assert [one["labels"]["crm.carrental/release"] for one in found["spec"]["predictors"]] == ["prod-1"]
    journal = [json.loads(path.read_text())["kind"] for path in sorted((root / "releases/prod/journal").glob("*.json"))]
    assert journal == [
        "rollout.scored", "rollout.weight", "rollout.weight", "rollout.weight", "rollout.weight", "rollout.promoted"
    ]  # fmt: skip


def _osv(folder: Path) -> Path:
    """Records of vulnerabilities, none of which is about a package that a repo has."""
    folder.mkdir()
    (folder / "one.json").write_text(json.dumps(osv_record("X-1", "a-package-that-nobody-has", "1.0")))
    return folder


@contextmanager
def callers(root: Path, variables: dict[str, str]) -> Iterator[None]:
    """k6 asks production all the while, from its first answer on, with rows of the repo's own source."""
    until_there = 'until curl -sf "$PROD_URL/v2/health/ready" > /dev/null; do sleep 0.5; done'
    asks = f"{CRM} loadtest $PROD_URL --profile soak --rps 40 --duration 20m --out ../callers --repo {root}"
    with process(root.parent / "place", "callers", "bash", "-c", f"{until_there}; exec {asks}", **variables):
        yield
