"""Who may take which role: real tokens of GitLab and GitHub against the trust policies that Terraform renders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from token_subjects import ISSUER, github_token, gitlab_token, jobs, takes

from carrental_mlops.cli.main import main
from carrental_mlops.config.infra import Subjects
from carrental_mlops.deploy.infra.subjects import GITLAB_COMPONENTS, subjects_of
from carrental_mlops.errors import ConfigError

ROLES = ("reader", "trainer", "approver", "deployer")
PLAN = json.loads(Path(__file__).with_name("model_service_plan.json").read_text())
"""`terraform show -json` of a fresh repo's staging; tests/e2e/test_terraform_emulated.py renders one for each CI."""


def _policies(ci: str, subjects: Subjects) -> dict[str, str]:
    """Role to trust policy: that of the plan, with the subjects and the issuer of `ci` in the place of the plan's."""
    made = {}
    for one in PLAN["resource_changes"]:
        name = one["change"]["after"].get("name", "").rpartition("-")[2]
        if one["type"] == "aws_iam_role" and name in ROLES:
            policy = json.loads(one["change"]["after"]["assume_role_policy"].replace(ISSUER["gitlab"], ISSUER[ci]))
            (condition,) = policy["Statement"][0]["Condition"]["StringLike"].values()
            assert condition
            policy["Statement"][0]["Condition"]["StringLike"] = {f"{ISSUER[ci]}:sub": list(getattr(subjects, name))}
            made[name] = json.dumps(policy)
    assert set(made) == set(ROLES)
    return made


def _token(ci: str, environment: str | None) -> dict[str, str]:
    return github_token(environment) if ci == "github" else gitlab_token(environment, components=GITLAB_COMPONENTS)


@pytest.mark.parametrize("ci", ["gitlab", "github"])
def test_each_job_can_take_its_own_role_and_only_the_job_approve_that_of_the_approver(ci: str) -> None:
    policies = _policies(ci, subjects_of(ci, "ds/fraud-payments"))  # type: ignore[arg-type]
    known = jobs(ci)
    assert {role for role, _ in known.values()} == set(ROLES)
    for name, (role, environment) in known.items():
        may = {one for one in ROLES if takes(_token(ci, environment), policies[one])}
        assert role in may, name
        assert ("approver" in may) is (name == "approve"), name
        assert not {"approver", "trainer"} <= may and not {"approver", "deployer"} <= may, name


@pytest.mark.parametrize(
    ("token", "may"),
    [
        (gitlab_token(None, "feature", components=GITLAB_COMPONENTS), {"reader"}),
        (gitlab_token("approval", "feature", components=GITLAB_COMPONENTS), {"reader"}),
        (gitlab_token("approval", protected=False, components=GITLAB_COMPONENTS), {"reader"}),
        (gitlab_token("mine", protected=False, components=GITLAB_COMPONENTS), {"reader"}),
        (gitlab_token("approval", project="ds/fraud-payments-fork", components=GITLAB_COMPONENTS), set()),
        (gitlab_token("approval", components=GITLAB_COMPONENTS) | {"aud": "crm"}, set()),
        (gitlab_token("approval", components=GITLAB_COMPONENTS) | {"iss": "gitlab.com"}, set()),
        (github_token(None, pull_request=True), {"reader"}),
        (github_token(None, "refs/heads/feature"), {"reader"}),
        (github_token(None, "refs/tags/main"), {"reader"}),
        (github_token("mine"), {"reader"}),
        (github_token("approval", project="ds/fraud-payments-fork"), set()),
        (github_token("approval", project="mallory/fraud-payments"), set()),
        (github_token("approval") | {"aud": "https://github.com/ds"}, set()),
    ],
    ids=lambda value: value["sub"] if isinstance(value, dict) else "",
)
def test_another_branch_environment_project_audience_or_issuer_gets_no_role_that_writes(
    token: dict[str, str], may: set[str]
) -> None:
    ci = "gitlab" if token["sub"].startswith("project_path") else "github"
    policies = _policies(ci, subjects_of(ci, "ds/fraud-payments"))  # type: ignore[arg-type]
    assert {role for role in ROLES if takes(token, policies[role])} == may


def test_by_gitlab_s_default_the_jobs_of_a_branch_are_one_and_that_is_refused() -> None:
    retrain, approve = gitlab_token(jobs("gitlab")["retrain"][1]), gitlab_token(jobs("gitlab")["approve"][1])
    assert retrain == approve
    with pytest.raises(ValidationError, match="who trains may not approve"):
        Subjects(trainer=(retrain["sub"],), approver=(approve["sub"],))


def test_a_repository_that_github_names_by_ids_is_named_so() -> None:
    policies = _policies("github", subjects_of("github", "ds@17/fraud-payments@42"))
    assert takes(github_token("approval", project="ds@17/fraud-payments@42"), policies["approver"])
    assert not takes(github_token("approval", project="ds@18/fraud-payments@42"), policies["approver"])


@pytest.mark.parametrize("project", ["fraud-payments", "ds/*", "ds/fraud-payments?"])
def test_a_project_is_a_whole_path(project: str) -> None:
    with pytest.raises(ConfigError, match="is no path of a project"):
        subjects_of("github", project)


@pytest.mark.parametrize(("ci", "hint"), [("gitlab", "ci_id_token_sub_claim_components"), ("github", "owner@id")])
def test_the_command_prints_what_the_overlay_takes(ci: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["infra", "subjects", "--project", "ds/fraud-payments", "--ci", ci])
    told = capsys.readouterr()
    given = yaml.safe_load(told.out)["deploy"]["infra"]["ci_subjects"]
    assert Subjects.model_validate(given) == subjects_of(ci, "ds/fraud-payments")  # type: ignore[arg-type]
    assert hint in told.err
