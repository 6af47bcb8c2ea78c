"""`crm deploy`, `rollback`, `status`, `diff`: against a real API server, with what goes wrong there."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from control_plane import ControlPlane
from operator_stand_in import OperatorStandIn
from release_repo import SERVICE, deploys_to, load_test, pushed, repo_at

from carrental_mlops.cli.main import main
from carrental_mlops.deploy.cluster.kubernetes import Cluster
from carrental_mlops.errors import ConfigError

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore:pkg_resources is deprecated:UserWarning"),  # of MLflow, when a server is away
]
_CRM = [sys.executable, "-c", "import sys; from carrental_mlops.cli.main import main; sys.exit(main(sys.argv[1:]))"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo whose two versions may be released."""
    return repo_at(tmp_path_factory.mktemp("made") / "repo")


@dataclass
class Place:
    """A repo and its namespace."""

    root: Path
    namespace: str
    plane: ControlPlane
    capsys: pytest.CaptureFixture[str]

    def crm(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command in this process."""
        self.capsys.readouterr()
        try:
            code = main([*arguments, "--repo", str(self.root)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def well(self, *arguments: str) -> Any:
        """JSON that a command says that must end well."""
        code, out, err = self.crm(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    def status(self) -> Any:
        """What `crm status` says; it exits 3 where the service is not available."""
        code, out, err = self.crm("status", "--env", "prod", "--json")
        found = json.loads(out)
        assert code == (0 if found["available"] else 3), err
        return found

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """A command in a process of its own."""
        return subprocess.Popen([*_CRM, *arguments, "--repo", str(self.root)], env=dict(os.environ), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    def tracks(self) -> dict[str, str]:
        """Predictor to the release that it is labelled with."""
        return {
            one["name"]: one["labels"]["crm.carrental/release"]
            for found in self.plane.get("seldondeployments", self.namespace)
            for one in found["spec"]["predictors"]
        }

    def generations(self) -> dict[str, int]:
        """How often each Deployment was written."""
        found = (one["metadata"] for one in self.plane.get("deployments.apps", self.namespace))
        return {one["name"]: one["generation"] for one in found}

    def states(self, number: int) -> list[str]:
        """What became of a release of prod, in order."""
        folder = self.root / "releases" / "prod" / str(number)
        return [json.loads(path.read_text())["state"] for path in sorted(folder.glob("*.json"))]

    def await_helm(self, running: subprocess.Popen[str]) -> None:
        """Come back as soon as Helm has begun; it ends within tenths of a second."""
        path = f"/api/v1/namespaces/{self.namespace}/secrets?labelSelector=owner%3Dhelm"
        while running.poll() is None:
            found = [one["metadata"]["labels"]["status"] for one in self.plane.ask(path)["items"]]
            if any(status.startswith("pending") for status in found):
                return
        raise AssertionError(f"Helm was not seen to begin: {running.communicate()}")


@pytest.fixture
def place(
    made: Path, plane: ControlPlane, operators: OperatorStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest,
) -> Iterator[Place]:  # fmt: skip
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    namespace = "d-" + request.node.name.removeprefix("test_").replace("_", "-")[:50].strip("-")
    root = tmp_path / "repo"
    shutil.copytree(made, root)
    deploys_to(root, namespace)
    yield Place(root, namespace, plane, capsys)
    plane.kubectl("delete", "namespace", namespace, "--wait=false", check=False)


def test_a_first_release_makes_its_namespace_is_recorded_and_is_not_made_twice(place: Place) -> None:
    first = place.well("deploy", "--env", "prod")
    assert (first["did"], first["release"]["id"], first["release"]["model"]["version"]) == ("deployed", "prod-1", "2")
    assert {one["kind"]: one["passed"] for one in first["release"]["evidence"]} == {"gate": True, "load_test": True}
    assert place.tracks() == {"champion": "prod-1"}
    assert place.states(1) == ["started", "applied"]
    assert place.well("deploy", "--env", "prod")["did"] == "nothing"
    assert [one["state"] for one in place.well("release", "list", "--env", "prod")] == ["applied"]
    namespace = place.plane.ask(f"/api/v1/namespaces/{place.namespace}")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_dry_run_asks_the_cluster_and_leaves_nothing(place: Place) -> None:
    place.plane.namespace(place.namespace)
    tried = place.well("deploy", "--env", "prod", "--dry-run")
    assert tried["did"] == "tried" and tried["release"]["id"] == "prod-1"
    assert any(one["said"] == f"SeldonDeployment {SERVICE} is added" for one in tried["changes"])
    assert place.tracks() == {}
    assert not (place.root / "releases").exists()


def test_a_model_that_no_load_test_carries_is_refused_until_a_person_answers_for_it(place: Place) -> None:
    shutil.rmtree(place.root / ".crm" / "loadtests")
    code, _, err = place.crm("deploy", "--env", "prod")
    assert code == 4 and "load test: no evidence for this model" in err
    load_test(place.root, "bad", p99=900, digest=f"{2:064x}")
    code, _, err = place.crm("deploy", "--env", "prod")
    assert code == 4 and "did not pass: " in err and "p99 900 ms" in err
    assert not (place.root / "releases").exists() and place.tracks() == {}
    until = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86400))
    (place.root / "releases").mkdir()
    waiver = f"- {{what: load_test, by: jane@example.com, reason: the old cluster is slow, expires: {until}}}\n"
    (place.root / "releases" / "waivers.yaml").write_text(waiver)
    assert place.well("deploy", "--env", "prod")["release"]["waivers"][0]["by"] == "jane@example.com"


def test_a_canary_is_diffed_taken_back_and_the_champion_keeps_its_pods(place: Place) -> None:
    one, two = pushed(place.root, 1), pushed(place.root, 2)
    place.well("deploy", "--env", "prod", "--image", one)
    before = _predictor(place, "champion")
    place.well("deploy", "--env", "prod", "--image", two, "--canary", "10")
    assert place.tracks() == {"champion": "prod-1", "canary": "prod-2"}
    assert place.well("deploy", "--env", "prod", "--image", two, "--canary", "10")["did"] == "nothing"
    said = [
        c["said"]
        for c in place.well("deploy", "--env", "prod", "--image", two, "--canary", "25", "--dry-run")["changes"]
    ]
    assert {"champion 90 % to 75 %", "canary 10 % to 25 %"} <= set(said)
    began = time.monotonic()
    back = place.well("rollback", "--env", "prod")
    assert time.monotonic() - began < 60
    assert (back["release"]["id"], back["release"]["content_of"], place.tracks()) == (
        "prod-3",
        "prod-1",
        {"champion": "prod-1"},
    )
    assert _predictor(place, "champion") == before
    assert place.well("rollback", "--env", "prod")["did"] == "nothing"


def _predictor(place: Place, name: str) -> Any:
    [found] = place.plane.get("seldondeployments", place.namespace)
    return next(one for one in found["spec"]["predictors"] if one["name"] == name)["componentSpecs"]


def test_who_trained_is_refused_in_production_and_the_cluster_stays_as_it_was(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gitconfig").write_text("[user]\n name = Ada\n email = Ada@example.com\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    for tried in ((), ("--dry-run",)):
        code, _, err = place.crm("deploy", "--env", "prod", *tried)
        assert code == 4 and "only ada@example.com, who trained this model, has approved it" in err
    assert place.plane.get("seldondeployments", place.namespace) == []
    assert not list((place.root / "releases" / "prod").glob("*.json"))


def test_a_rollback_brings_model_and_configuration_back_with_the_registry_down(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.well("deploy", "--env", "prod", "--image", pushed(place.root, 1))
    first = place.plane.get("seldondeployments", place.namespace)[0]["spec"]
    deploys_to(place.root, place.namespace, resources={"memory": "2Gi"})
    place.well("deploy", "--env", "prod", "--image", pushed(place.root, 2))
    assert place.plane.get("seldondeployments", place.namespace)[0]["spec"] != first
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://127.0.0.1:9")
    began = time.monotonic()
    code, out, err = place.crm("rollback", "--env", "prod")
    assert code == 0 and time.monotonic() - began < 60, err
    assert out.startswith("prod-3: rolled back") and "not written on the model version" in err
    assert place.plane.get("seldondeployments", place.namespace)[0]["spec"] == first


def test_diff_says_nothing_after_a_deploy_and_then_what_crm_yaml_would_change(place: Place) -> None:
    place.well("deploy", "--env", "prod")
    same = place.well("diff", "--env", "prod", "--cluster")
    assert same["changes"] == []
    deploys_to(place.root, place.namespace, resources={"memory": "2Gi"})
    for how, against in (("--cluster", "the cluster (test,"), ("--no-cluster", "prod-1")):
        found = place.well("diff", "--env", "prod", how)
        said = {one["said"]: one["restarts"] for one in found["changes"]}
        assert found["against"].startswith(against)
        assert said[f"champion: container {SERVICE}: memory limit 1Gi to 2Gi"]


def test_a_cluster_that_goes_away_in_the_middle_is_said_and_the_same_command_goes_on(place: Place) -> None:
    place.well("deploy", "--env", "prod", "--image", pushed(place.root, 1))
    running = place.begin("deploy", "--env", "prod", "--image", pushed(place.root, 2))
    place.await_helm(running)
    place.plane.kill("kube-apiserver")
    try:
        _, said = running.communicate(timeout=180)
    finally:
        running.kill()
        place.plane.start_apiserver()
    assert running.returncode == 3 and "prod-2 is unfinished" in said, said
    assert place.states(2) == ["started"]
    status = place.status()
    assert "prod-2 was begun and not finished: the same command goes on with it" in status["said"]
    again = _until_lease_ends(place, "deploy", "--env", "prod", "--image", pushed(place.root, 2))
    assert (again["did"], again["release"]["id"]) == ("went on", "prod-2")
    assert place.tracks() == {"champion": "prod-2"} and place.states(2)[-1] == "applied"


def test_a_deploy_that_was_killed_leaves_a_lease_that_ends_and_the_next_goes_on(place: Place) -> None:
    running = place.begin("deploy", "--env", "prod")
    place.await_helm(running)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=30)
    code, _, err = place.crm("deploy", "--env", "prod")
    assert code == 3 and "has been deploying since" in err
    assert "not finished" in " ".join(place.status()["said"])
    assert _until_lease_ends(place, "deploy", "--env", "prod")["did"] == "went on"
    assert place.tracks() == {"champion": "prod-1"}


def _until_lease_ends(place: Place, *arguments: str) -> Any:
    deadline = time.monotonic() + 90
    while True:
        code, out, err = place.crm(*arguments, "--json")
        if code == 0:
            return json.loads(out)
        assert "has been deploying since" in err and time.monotonic() < deadline, err
        time.sleep(5)


def test_of_two_deploys_at_once_one_is_told_to_wait(place: Place) -> None:
    place.well("deploy", "--env", "prod", "--image", pushed(place.root, 1))
    deploys_to(place.root, place.namespace, resources={"memory": "2Gi"})
    running = [place.begin("deploy", "--env", "prod", "--image", pushed(place.root, n)) for n in (1, 2)]
    ended = [(*one.communicate(timeout=180), one.returncode) for one in running]
    codes = sorted(code for _, _, code in ended)
    assert codes in ([0, 3], [0, 0]), ended
    assert all("has been deploying since" in err for _, err, code in ended if code == 3)
    newest = place.well("release", "list", "--env", "prod")[0]
    assert place.tracks() == {"champion": newest["id"]} and newest["state"] == "applied"


def test_an_object_that_the_cluster_refuses_changes_nothing(place: Place) -> None:
    policy = [
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
         "metadata": {"name": "no-seldon"},
         "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [
             {"apiGroups": ["machinelearning.seldon.io"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
              "resources": ["seldondeployments"]}]},
             "validations": [{"expression": f"object.metadata.namespace != '{place.namespace}'",
                              "message": "no Seldon on a Friday"}]}},
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
         "metadata": {"name": "no-seldon"}, "spec": {"policyName": "no-seldon", "validationActions": ["Deny"]}},
    ]  # fmt: skip
    place.plane.namespace(place.namespace)
    assert place.plane.apply(policy).returncode == 0
    try:
        place.plane.until(
            lambda: place.crm("deploy", "--env", "prod", "--dry-run")[0] != 0, "no policy", "kube-apiserver"
        )
        code, _, err = place.crm("deploy", "--env", "prod")
    finally:
        place.plane.kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "no-seldon")
    assert code == 1 and "no Seldon on a Friday" in err
    assert place.tracks() == {} and not (place.root / "releases" / "prod").exists()


def test_with_the_operator_at_work_a_release_its_diff_and_the_way_back_take_less_than_a_minute_each(
    place: Place,
) -> None:
    """Pods are ready as soon as they have a node: what is timed is ours, Helm's and the operator's."""
    if {"kube-controller-manager", "kube-scheduler", "kwok"} - set(place.plane.processes):
        pytest.skip("no controllers or nodes: run `make control-plane`")
    wait = ("--wait", "--timeout", "120")
    for command, tracks in (
        (("deploy", "--image", pushed(place.root, 1), *wait), {"champion": "prod-1"}),
        (("deploy", "--image", pushed(place.root, 2), "--canary", "10", *wait),
         {"champion": "prod-1", "canary": "prod-2"}),
        (("rollback", *wait), {"champion": "prod-1"}),
        (("deploy", "--image", pushed(place.root, 2), *wait), {"champion": "prod-4"}),
        (("rollback", *wait), {"champion": "prod-1"}),
    ):  # fmt: skip
        began = time.monotonic()
        assert place.well(*command, "--env", "prod")["available"]
        done = time.monotonic()
        found = place.well("diff", "--env", "prod", "--cluster")["changes"]
        took = {command[0]: done - began, "diff": time.monotonic() - done}
        logging.getLogger(__name__).info("to %s: %s seconds", tracks, took)
        assert max(took.values()) < 60, took
        assert found == [] and place.tracks() == tracks
        ready = {(pod["track"], pod["release"]) for pod in place.status()["pods"] if pod["ready"]}
        assert ready >= set(tracks.items())
        before = place.generations()
        time.sleep(3)
        assert place.generations() == before, "the operator writes again and again what stands there"


def test_a_release_is_waited_for_and_one_that_cannot_start_leaves_the_one_before_answering(
    place: Place,
) -> None:
    if {"kube-controller-manager", "kube-scheduler", "kwok"} - set(place.plane.processes):
        pytest.skip("no controllers or nodes: run `make control-plane`")
    first = place.well("deploy", "--env", "prod", "--image", pushed(place.root, 1), "--wait", "--timeout", "120")
    assert first["available"] and place.states(1)[-1] == "available"
    status = place.status()
    assert status["available"] and status["said"] == [] and {pod["release"] for pod in status["pods"]} == {"prod-1"}
    deploys_to(place.root, place.namespace, resources={"cpu": "500"})
    code, _, err = place.crm("deploy", "--env", "prod", "--wait", "--timeout", "20")
    assert code == 3 and "prod-2 is not available after" in err and "Unschedulable" in err
    assert place.states(2)[-1] == "failed"
    status = place.status()
    assert any(pod["ready"] and pod["release"] == "prod-1" for pod in status["pods"])
    assert any(said.startswith("prod-2 failed") for said in status["said"])
    back = place.well("rollback", "--env", "prod", "--wait", "--timeout", "60")
    assert back["available"] and back["release"]["content_of"] == "prod-1"


def test_a_field_that_the_cluster_does_not_know_is_refused_not_dropped(place: Place) -> None:
    place.plane.namespace(place.namespace)
    cluster = Cluster(place.namespace)
    policy: dict[str, Any] = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": place.namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    cluster.dry_run(policy)
    misspelt = {**policy, "spec": {**policy["spec"], "ingres": []}}
    other = {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": SERVICE, "namespace": place.namespace},
        "spec": {"predictors": [{"name": "champion", "trafic": 100, "graph": {"name": "model"}}]},
    }
    for wrong, field in ((misspelt, "ingres"), (other, "trafic")):
        with pytest.raises(ConfigError, match=f"{wrong['kind']} .*: the cluster refuses it: .*{field}"):
            cluster.dry_run(wrong)


def test_a_release_that_an_earlier_version_stored_is_gone_back_to_or_refused_with_what_to_do(place: Place) -> None:
    for number in (1, 2, 1):
        place.well("deploy", "--env", "prod", "--image", pushed(place.root, number))
    first, second = (place.root / "releases" / "prod" / f"{number}.json" for number in (1, 2))
    told = json.loads(first.read_text())
    told["values"]["autoscale"]["prometheus"] = told["values"].pop("prometheus")
    del told["values"]["batch"], told["values"]["orchestrator"]
    first.write_text(json.dumps(told))
    assert place.well("rollback", "--env", "prod", "--to", "prod-1")["release"]["content_of"] == "prod-1"
    assert place.tracks() == {"champion": "prod-1"}
    told = json.loads(second.read_text())
    told["values"]["mesh"] = "on"
    second.write_text(json.dumps(told))
    code, _, err = place.crm("rollback", "--env", "prod", "--to", "prod-2")
    assert code == 1 and "mesh" in err and "crm release show" in err
    assert place.tracks() == {"champion": "prod-1"}


def test_status_and_switch_say_3_where_the_cluster_does_not_answer_or_nothing_is_available(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("switch", SERVICE, "--env", "prod", "--to", "rules", "--reason", "a fault", "--until", "2h")
    code, out, _ = place.crm("status", "--env", "prod")
    assert code == 3 and "not available" in out
    away = tmp_path / "kubeconfig"
    away.write_text(place.plane.kubeconfig.read_text().replace(place.plane.url, "https://127.0.0.1:9"))
    monkeypatch.setenv("KUBECONFIG", str(away))
    for command in (("status", "--env", "prod"), asked):
        code, _, err = place.crm(*command)
        assert code == 3 and "127.0.0.1:9" in err and "kubectl cluster-info" in err, (command, err)


def test_what_is_not_there_is_said_and_nothing_can_be_taken_back(place: Place) -> None:
    status = place.status()
    assert status["said"] == [f"{SERVICE} is not in the cluster"]
    assert _words(place.crm("rollback", "--env", "prod")[2], "nothing was released in prod")
    assert _words(place.crm("logs", "--env", "prod")[2], "has no pod")


def _words(said: str, *wanted: str) -> Sequence[str]:
    assert all(one in said for one in wanted), said
    return wanted
