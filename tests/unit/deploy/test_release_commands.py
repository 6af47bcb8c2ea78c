"""What can be read and compared with no cluster: releases, their evidence, and what crm.yaml would change."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from release_repo import EXAMPLE, IMAGE, deploys_to
from releases import NOON

from carrental_mlops.cli.main import main
from carrental_mlops.core.repo import open_repo
from carrental_mlops.deploy.cluster.deployment import alone_in
from carrental_mlops.deploy.releases.draft import Draft, WantedRelease, draft_of, same_content
from carrental_mlops.deploy.releases.identity import person
from carrental_mlops.deploy.releases.release import Event, Evidence, ModelRef, Release, Stored, Waiver
from carrental_mlops.deploy.releases.store import ReleaseStore
from carrental_mlops.errors import ConfigError, GateRefused

YES = Evidence(kind="gate", passed=True, at=NOON, model_digest="1" * 64, said=("met: roc_auc is 0.9",))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo with two releases in prod: the second has more memory and is beside the first."""
    pytest.importorskip("helm_python")
    root = tmp_path_factory.mktemp("made") / "repo"
    shutil.copytree(EXAMPLE, root)
    deploys_to(root, "models")
    store = ReleaseStore(root, "releases/")
    first = store.add("prod", lambda name: _draft(root, 1).stored(name, None, None, NOON))
    store.record(Event(release="prod-1", state="available", at=NOON, by="jane"))
    deploys_to(root, "models", resources={"memory": "2Gi"}, rollout={"kind": "canary"})
    store.add("prod", lambda name: _draft(root, 2).stored(name, first.release, "prod-1", NOON + timedelta(hours=1)))
    return root


def _draft(root: Path, number: int, **changed: Any) -> Draft:
    config = open_repo(root, "prod").config
    model = ModelRef(name=config.service, version=str(number), digest=f"{number:064x}")
    given = {"evidence": (YES,), "waivers": (), "commit": "abc", "root": root, "trained_by": "ada", **changed}
    return Draft(config, "prod", WantedRelease("jane@example.com"), f"{IMAGE}@sha256:{number:064x}", model, **given)


def _crm(capsys: pytest.CaptureFixture[str], root: Path, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    try:
        code = main([*arguments, "--repo", str(root)])
    except SystemExit as ended:
        code = int(ended.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_releases_are_listed_newest_first_with_what_became_of_them(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _crm(capsys, made, "release", "list", "--env", "prod")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == ["release", "prod-2", "prod-1"]
    assert "not begun" in out and "available" in out
    told = json.loads(_crm(capsys, made, "release", "list", "--env", "prod", "--json")[1])
    assert [(one["id"], one["state"], one["before"]) for one in told] == [
        ("prod-2", "not begun", "prod-1"), ("prod-1", "available", None),
    ]  # fmt: skip


def test_a_release_is_shown_with_evidence_and_events(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = _crm(capsys, made, "release", "show", "prod-1")
    assert "gate: passed, 2026-11-21 12:00 UTC" in out and "  met: roc_auc is 0.9" in out
    assert "2026-11-21 12:00:00 UTC  available  jane" in out
    code, _, err = _crm(capsys, made, "release", "show", "prod-9")
    assert code == 1 and "the latest: prod-2, prod-1" in err


def test_two_releases_are_compared_in_words(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(_crm(capsys, made, "release", "diff", "prod-1", "prod-2", "--json")[1])
    said = {one["said"]: (one["restarts"], one["loses"]) for one in told["changes"]}
    assert said["champion 100 % to 90 %"] == (False, None)
    assert said["champion: container fraud-payments: memory limit 1Gi to 2Gi"] == (True, None)
    assert "canary added" in said


def test_nobody_has_to_copy_an_id(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_prod = ("--env", "prod", "--json")
    assert json.loads(_crm(capsys, made, "release", "show", *of_prod)[1])["release"]["id"] == "prod-2"
    named = _crm(capsys, made, "release", "diff", "prod-1", "prod-2", "--json")
    assert _crm(capsys, made, "release", "diff", *of_prod) == named
    code, _, err = _crm(capsys, made, "release", "diff", "--env", "staging")
    assert code == 1 and "staging has 0 releases" in err


def test_with_no_cluster_the_diff_is_against_the_newest_release_and_says_so(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    code, out, err = _crm(capsys, made, "diff", "--env", "prod")
    assert (code, out) == (0, "against prod-2\nNothing changes.\n") and "not asked the cluster" in err
    more = ("--set", "deploy.autoscale.maximum=8", "--no-cluster", "--markdown")
    _, out, _ = _crm(capsys, made, "diff", "--env", "prod", *more)
    assert out.startswith("### fraud-payments in prod, against prod-2\n")
    assert "- maximum replicas 12 to 8 ⚠️ **a peak may find too few pods**\n" in out
    assert _crm(capsys, made, "diff", "--env", "prod", "--cluster")[0] != 0


def test_a_draft_with_no_load_test_is_refused_in_the_last_environment_and_waived_by_a_person(made: Path) -> None:
    with pytest.raises(GateRefused, match="prod: model fraud-payments version 1 may not be released: load test: no"):
        _draft(made, 1).refuse()
    waiver = Waiver(what="load_test", by="jane", reason="the load generator is down", expires=NOON)
    _draft(made, 1, waivers=(waiver,)).refuse()
    with pytest.raises(GateRefused, match="gate: no evidence"):
        _draft(made, 1, evidence=(), waivers=(waiver,)).refuse()


def test_the_same_asked_again_is_the_same_content_and_another_image_is_not(made: Path) -> None:
    store = ReleaseStore(made, "releases/")
    first, second = store.get("prod-1"), store.get("prod-2")
    again = _draft(made, 2).stored("prod-2", first.release, None, NOON + timedelta(days=1))
    assert same_content(second, again)
    assert again.release.values_digest == second.release.values_digest
    assert not same_content(second, _draft(made, 3).stored("prod-2", first.release, None, NOON))


def test_a_release_alone_has_its_own_model_for_all_requests(made: Path) -> None:
    [track] = alone_in(ReleaseStore(made, "releases/").get("prod-2"))["tracks"]
    assert (track["name"], track["release"], track["share"], track["minimum"]) == ("champion", "prod-2", 100, 3)


def test_what_was_stored_holds_no_password_of_an_address(made: Path) -> None:
    config = open_repo(made, "prod", ("mlflow.tracking_uri=https://crm:s3cret@mlflow.example.com",)).config
    found = replace(_draft(made, 1), config=config).stored("prod-9", None, None, NOON)
    assert "s3cret" not in found.model_dump_json()


def test_an_image_of_which_nobody_says_what_is_in_it_is_refused(made: Path) -> None:
    repo = open_repo(made, "prod")
    with pytest.raises(ConfigError, match="no image was pushed from here"):
        draft_of(repo, "prod", WantedRelease("jane"))
    with pytest.raises(ConfigError, match=r"nothing here says which model .*\nFix: name its version: --version N"):
        draft_of(repo, "prod", WantedRelease("jane", image=f"{IMAGE}@sha256:{1:064x}"))


def test_who_asks_is_read_from_the_token_of_ci_else_from_git(tmp_path: Path) -> None:
    def token(**claims: str) -> dict[str, str]:
        return {"CRM_OIDC_TOKEN": f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"}

    assert person(tmp_path, token(user_email="ann@example.com", sub="project:1")) == "ann@example.com"
    assert person(tmp_path, token(actor="ben", sub="repo:x")) == "ben"
    for broken in ({}, {"CRM_OIDC_TOKEN": "none"}, {"CRM_OIDC_TOKEN": "a.%%%.c"}, token()):
        assert person(tmp_path, broken) == "test@example.com"


def test_a_stored_release_comes_back_as_it_was(made: Path) -> None:
    found = ReleaseStore(made, "releases/").get("prod-2")
    assert Stored.model_validate_json(found.model_dump_json()) == found
    assert isinstance(found.release, Release) and found.config["deploy"]["namespace"] == "models"
