"""`crm infra` against an emulated AWS: apply, second plan without changes, destroy; a killed apply is mended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_emulated import ACCOUNT, client, emulated_aws, repo_for, terraform_or_skip
from batch_jobs import BATCH
from releases import release
from token_subjects import ISSUER, github_token, gitlab_token, jobs, takes

from carrental_mlops.config import load, repo_config
from carrental_mlops.deploy.infra.subjects import GITLAB_COMPONENTS, subjects_of
from carrental_mlops.deploy.manifests.render import render

pytestmark = pytest.mark.e2e
NAME = "fraud-payments"
CI_ROLES = ("reader", "trainer", "approver", "deployer")


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[dict[str, str]]:
    terraform_or_skip()
    with emulated_aws(tmp_path) as env:
        yield env


def _crm(root: Path, env: dict[str, str], *words: str, code: int = 0) -> tuple[Any, str]:
    """(what it printed as JSON, what it said on stderr)."""
    ran = subprocess.run(_command(root, *words), env={**os.environ, **env}, capture_output=True, text=True, timeout=500)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return (json.loads(ran.stdout) if ran.stdout.startswith("{") else ran.stdout), ran.stderr


def _command(root: Path, *words: str) -> list[str]:
    return [sys.executable, "-c", "import sys; from carrental_mlops.cli.main import main; sys.exit(main())",
            "infra", *words, "--env", "staging", "--repo", str(root)]  # fmt: skip


def test_apply_then_no_changes_then_destroy(tmp_path: Path, aws: dict[str, str]) -> None:
    root = repo_for(aws, tmp_path)
    _with_batch_job(root)
    planned, _ = _crm(root, aws, "plan", "--json")
    assert planned["refused"] == [] and {c["action"] for c in planned["changes"]} == {"create"}

    _, said = _crm(root, aws, "apply", "--digest", "0123456789abcdef", code=1)
    assert "not 0123456789abcdef" in said

    applied, _ = _crm(root, aws, "apply", "--digest", planned["digest"][:12], "--json")
    assert applied["digest"] == planned["digest"]
    roles = {role["RoleName"] for role in client(aws, "iam").list_roles()["Roles"]}
    assert roles == {f"fraud-payments-staging-{r}" for r in ("pod", "batch", *CI_ROLES)}
    _hold_batch_role(root, client(aws, "iam"))
    state = client(aws, "s3").list_objects_v2(Bucket="carrental-staging-terraform-state")["Contents"]
    assert [one["Key"] for one in state] == ["fraud-payments/staging.tfstate"]  # and no lock beside it

    again, _ = _crm(root, aws, "plan", "--json")
    assert again["changes"] == []

    _, said = _crm(root, aws, "destroy", code=1)
    assert "--confirm fraud-payments" in said
    would, _ = _crm(root, aws, "destroy", "--dry-run", "--json")
    gone, _ = _crm(root, aws, "destroy", "--confirm", "fraud-payments", "--json")
    assert would["changes"] == gone["changes"] and len(gone["changes"]) == len(planned["changes"])
    assert client(aws, "iam").list_roles()["Roles"] == []


def test_an_apply_that_is_killed_is_reported_and_mended_by_the_next_plan(tmp_path: Path, aws: dict[str, str]) -> None:
    root = repo_for(aws, tmp_path)
    planned, _ = _crm(root, aws, "plan", "--json")
    applying = subprocess.Popen(
        _command(root, "apply"), env={**os.environ, **aws}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    begun = root / ".crm" / "terraform" / "staging" / "applying.json"
    iam = client(aws, "iam")
    _until(lambda: len(iam.list_roles()["Roles"]) >= 5, applying)
    terraform = int(json.loads(begun.read_text())["process"]["crm.pid"])
    applying.send_signal(signal.SIGKILL)
    applying.wait(10)
    _, said = _crm(root, aws, "plan", code=3)  # Terraform itself still runs
    assert "has run since" in said
    os.kill(terraform, signal.SIGKILL)
    _until(lambda: not Path(f"/proc/{terraform}/exe").exists(), None)

    _, said = _crm(root, aws, "apply", code=3)
    assert "cut off" in said and "Fix: crm infra plan --env staging" in said
    _, said = _crm(root, aws, "plan", code=3)
    assert "was cut off and left it" in said
    unlock = said.partition("Fix: crm infra ")[2].partition(",")[0].split()
    assert unlock[0] == "unlock"
    _crm(root, aws, "unlock", *unlock[unlock.index("--lock") :])

    mended, _ = _crm(root, aws, "plan", "--json")
    assert mended["cut_off"] and mended["adopted"], "the state did not know of the roles"
    assert len(mended["changes"]) <= len(planned["changes"])
    _crm(root, aws, "apply", "--json")
    again, _ = _crm(root, aws, "plan", "--json")
    assert again["changes"] == [] and again["cut_off"] is None


@pytest.mark.parametrize("ci", ["gitlab", "github"])
def test_the_jobs_of_each_ci_take_their_roles_by_the_policies_that_are_planned(
    ci: str, tmp_path: Path, aws: dict[str, str]
) -> None:
    root = repo_for(aws, tmp_path)
    overlay = root / "config" / "staging.yaml"
    given = yaml.safe_load(overlay.read_text())
    subjects = subjects_of(ci, "ds/fraud-payments").model_dump(mode="json")  # type: ignore[arg-type]
    issuer = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER[ci]}"
    given["deploy"]["infra"] |= {"ci_subjects": subjects, "ci_oidc_provider_arn": issuer}
    overlay.write_text(yaml.safe_dump(given))
    planned, _ = _crm(root, aws, "plan", "--json")
    assert planned["refused"] == []
    folder = root / ".crm" / "terraform" / "staging"
    shown = subprocess.run(
        [terraform_or_skip(), f"-chdir={root / 'deploy' / 'terraform'}", "show", "-json", str(folder / "plan.tfplan")],
        env={**os.environ, **aws, "TF_DATA_DIR": str(folder / "data")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    changed = [
        one["change"]["after"] for one in json.loads(shown.stdout)["resource_changes"] if ".ci[" in one["address"]
    ]
    policies = {one["tags"]["role"]: one["assume_role_policy"] for one in changed if "assume_role_policy" in one}
    known = jobs(ci)
    for name, (role, environment) in known.items():
        told = gitlab_token(environment, components=GITLAB_COMPONENTS) if ci == "gitlab" else github_token(environment)
        may = {one for one in policies if takes(told, policies[one])}
        assert role in may and ("approver" in may) is (name == "approve"), (name, may)


def _with_batch_job(root: Path) -> None:
    """The repo in staging has a batch job that reads and writes S3."""
    overlay = root / "config" / "staging.yaml"
    given = yaml.safe_load(overlay.read_text())
    steps = {"ingest": {"source": "s3://carrental-staging-rows/fraud/"},
             "predict": {"output": "s3://carrental-staging-answers/fraud/{run_id}.parquet"}}  # fmt: skip
    given |= {"steps": steps, "mlflow": {"tracking_uri": "https://mlflow.example.com"}}
    given["deploy"]["batch"] = BATCH
    overlay.write_text(yaml.safe_dump(given))


def _hold_batch_role(root: Path, iam: Any) -> None:
    """What AWS has is the role that the chart's account names, taken by that account, and its objects alone."""
    config = repo_config(load(root, "staging"))
    made = render(config, "staging", release("staging-1", "1")).objects
    (account,) = [one for one in made if (one["kind"], one["metadata"]["name"]) == ("ServiceAccount", f"{NAME}-batch")]
    arn = account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    role = iam.get_role(RoleName=f"{NAME}-staging-batch")["Role"]
    assert role["Arn"] == arn
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    told = trust["Condition"]["StringEquals"].items()
    assert {value for key, value in told if key.endswith(":sub")} == {
        f"system:serviceaccount:{account['metadata']['namespace']}:{NAME}-batch"
    }
    (policy,) = iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    document = iam.get_role_policy(RoleName=role["RoleName"], PolicyName=policy)["PolicyDocument"]
    allowed = {(action, at) for one in document["Statement"] for action in one["Action"] for at in one["Resource"]}
    assert {at for action, at in allowed if action == "s3:PutObject"} == {
        "arn:aws:s3:::carrental-staging-answers/fraud/*.parquet"
    }
    assert {at for action, at in allowed if action == "s3:GetObject"} == {
        "arn:aws:s3:::carrental-staging-rows/fraud/*",
        f"arn:aws:s3:::carrental-{NAME}-staging-artefacts/models/*",
    }


def _until(met: Any, process: subprocess.Popen[bytes] | None) -> None:
    for _ in range(600):
        if met():
            return
        assert process is None or process.poll() is None, "the apply ended before it could be killed"
        time.sleep(0.1)
    raise AssertionError("waited for nothing")
