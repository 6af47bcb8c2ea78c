"""Shares of a canary and the kill switch in a real API server: what Helm, Seldon's object and the ConfigMap hold."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_plane import ControlPlane
from release_repo import SERVICE, deploys_to, pushed, repo_at

from carrental_mlops.cli.main import main
from carrental_mlops.core.repo import open_repo
from carrental_mlops.deploy.cluster.site import Site
from carrental_mlops.deploy.releases.journal import Journal
from carrental_mlops.deploy.rollout.helm_traffic import HelmTraffic
from carrental_mlops.deploy.rollout.stand import Stand, Stands
from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.switch import Order

pytestmark = pytest.mark.e2e


class Place:
    """A repo, whose prod is a namespace of its own, and the commands in it."""

    def __init__(self, root: Path, namespace: str, plane: ControlPlane) -> None:
        self.root, self.namespace, self.plane = root, namespace, plane

    def crm(self, *arguments: str) -> int:
        try:
            return main([*arguments, "--repo", str(self.root)])
        except SystemExit as ended:
            return int(ended.code or 0)

    def traffic(self, release: str) -> HelmTraffic:
        site = Site.of(open_repo(self.root, "prod"), "prod")
        return HelmTraffic(site, release, "ann", lambda text: None, wait_s=120)

    def shares(self) -> dict[str, tuple[str, int]]:
        """Predictor to its release and share, as Seldon sees them."""
        return {
            one["name"]: (one["labels"]["crm.carrental/release"], one.get("traffic", 100))
            for found in self.plane.get("seldondeployments", self.namespace)
            for one in found["spec"]["predictors"]
        }


@pytest.fixture
def place(
    plane: ControlPlane, operators: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any
) -> Iterator[Place]:
    if {"kube-controller-manager", "kube-scheduler", "kwok"} - set(plane.processes):
        pytest.skip("no controllers or nodes: run `make control-plane`")
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    namespace = "p-" + request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")
    root = repo_at(tmp_path / "repo")
    deploys_to(root, namespace, autoscale={"minimum": 2, "maximum": 4})
    overlay = root / "config" / "prod.yaml"
    overlay.write_text(f"{overlay.read_text()}\nwatch: {{prometheus: 'http://127.0.0.1:9'}}\n")
    yield Place(root, namespace, plane)
    plane.kubectl("delete", "namespace", namespace, "--wait=false", check=False)


def with_canary(place: Place) -> HelmTraffic:
    assert place.crm("deploy", "--env", "prod", "--image", pushed(place.root, 1), "--wait", "--timeout", "120") == 0
    assert place.crm("deploy", "--env", "prod", "--image", pushed(place.root, 2), "--canary", "10") == 0
    return place.traffic("prod-2")


def test_a_canary_gets_its_share_and_then_all_of_the_traffic(place: Place) -> None:
    traffic = with_canary(place)
    assert traffic.weight() == 10
    traffic.set(25)
    assert place.shares() == {"champion": ("prod-1", 75), "canary": ("prod-2", 25)}
    assert traffic.weight() == 25
    traffic.promote()
    traffic.promote()
    assert place.shares() == {"champion": ("prod-2", 100)}
    assert traffic.weight() == 100
    with pytest.raises(PlatformError, match="prod-2 is no canary in prod any more: champion prod-2 100 %"):
        traffic.set(50)
    traffic.roll_back()
    assert place.shares() == {"champion": ("prod-2", 100)}, "what was promoted is no canary any more"


def test_a_canary_is_taken_away_and_the_champion_answers_as_a_release_of_its_own(place: Place) -> None:
    traffic = with_canary(place)
    traffic.roll_back()
    assert {name: share for name, (_, share) in place.shares().items()} == {"champion": 100}
    newest = Site.of(open_repo(place.root, "prod"), "prod").store.newest("prod")
    assert newest is not None
    assert newest.release.content_of == "prod-1"
    traffic.roll_back()
    assert traffic.weight() == 0


def test_a_second_clone_takes_back_a_canary_that_the_first_one_watches(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_canary(place)
    journal = Journal(place.root, "releases/", "prod")
    watched = Stands(place.root / ".crm" / "rollouts" / "prod.json", journal)
    watched.file.parent.mkdir(parents=True, exist_ok=True)
    stand = Stand("prod-2", "ann", time.time(), step_began=time.time(), weight=10, begun=1)
    watched.turn(stand, "rollout.weight", "the canary gets 10 %")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "releases")):
        subprocess.run(["git", *command], cwd=place.root, check=True)
    subprocess.run(["git", "clone", "-q", str(place.root), str(tmp_path / "clone")], check=True)
    clone = Place(tmp_path / "clone", place.namespace, place.plane)
    assert not (clone.root / ".crm").exists(), "a clone has what git has, nothing of the other machine"
    before = place.shares()
    capsys.readouterr()
    assert clone.crm("promote", "--from", "staging", "--to", "prod", "--abort", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"would": ["would take prod-2 back"]}
    assert place.shares() == before, "a dry run changes nothing"
    assert clone.crm("promote", "--from", "staging", "--to", "prod", "--abort", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["release"], told["weight"]) == ("rolled_back", "prod-2", 10)
    assert {name: share for name, (_, share) in place.shares().items()} == {"champion": 100}
    subprocess.run(["git", "add", "releases"], cwd=clone.root, check=True)
    subprocess.run(["git", "commit", "-q", "-m", "taken back"], cwd=clone.root, check=True)
    subprocess.run(["git", "pull", "-q", "--no-rebase", str(clone.root), "HEAD"], cwd=place.root, check=True)
    assert "rollout.rolled_back" in {one.kind for one in journal.entries()}
    assert watched.taken_over(stand), "the first one is told that it is over"
    assert place.crm("promote", "--from", "staging", "--to", "prod", "--abort") == 0
    assert "there is no canary" in capsys.readouterr().out


def test_a_dry_run_of_a_promotion_says_what_it_would_do_and_does_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    deploys_to(place.root, f"{place.namespace}-staging", "staging")
    asked = ("promote", "--from", "staging", "--to", "prod", "--dry-run")
    assert place.crm(*asked) == 1
    assert "staging has no release that was applied" in capsys.readouterr().err
    assert place.crm("deploy", "--env", "staging", "--image", pushed(place.root, 1)) == 0
    place.plane.namespace(place.namespace)
    capsys.readouterr()
    assert place.crm(*asked, "--json") == 0
    would = json.loads(capsys.readouterr().out)["would"]
    assert would[0] == "no other model answers: nothing to compare"
    assert would[-1].startswith(f"would be prod-1: {pushed(place.root, 1)}, by ") and would[-1].endswith(", then all")
    assert place.crm("promote", "--from", "staging", "--to", "prod", "--abort", "--dry-run") == 0
    assert capsys.readouterr().out.strip() == "there is no canary"
    assert place.shares() == {} and not list((place.root / "releases").glob("prod/*.json"))
    assert place.crm("promote", "--from", "prod", "--to", "prod", "--dry-run") != 0
    place.plane.kubectl("delete", "namespace", f"{place.namespace}-staging", "--wait=false", check=False)


def test_the_switch_reaches_the_pods_with_no_deploy(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.crm("deploy", "--env", "prod", "--image", pushed(place.root, 1), "--wait", "--timeout", "120") == 0
    revision = Site.of(open_repo(place.root, "prod"), "prod").running()
    asked = ("switch", SERVICE, "--env", "prod", "--to", "rules", "--reason", "a fault", "--until", "2h")
    assert place.crm(*asked) == 0
    assert "whether the pods have switched is not known" in capsys.readouterr().err
    found = place.plane.ask(f"/api/v1/namespaces/{place.namespace}/configmaps/{SERVICE}-switch")
    order = Order.parsed(found["data"]["switch.json"])
    assert order is not None and (order.to, order.reason) == ("rules", "a fault")
    pods = place.plane.get("pods", place.namespace)
    assert pods and all("crm.carrental/switched-at" in pod["metadata"]["annotations"] for pod in pods)
    mounted = [volume for pod in pods for volume in pod["spec"]["volumes"] if volume["name"] == "switch"]
    assert {one["configMap"]["name"] for one in mounted} == {f"{SERVICE}-switch"}
    assert place.crm("switch", SERVICE, "--env", "prod", "--off", "--reason", "mended", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"to": None}
    assert [one.kind for one in Journal(place.root, "releases/", "prod").entries()] == ["switch.on", "switch.off"]
    after = Site.of(open_repo(place.root, "prod"), "prod").running()
    assert revision and after and revision.revision == after.revision
