"""One definition of a pipeline: what does not hold together is refused, and the committed files are what it renders."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import ValidationError

from carrental_mlops.cli.main import Commands, app
from carrental_mlops.deploy.ci import github, gitlab
from carrental_mlops.deploy.ci.definition import Job, Pipeline
from carrental_mlops.deploy.ci.model_repo import MODEL_REPO
from carrental_mlops.deploy.ci.package import PACKAGE
from carrental_mlops.deploy.ci.write import files

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
PIPELINES = {"model repo": MODEL_REPO, "package": PACKAGE}
SCHEMAS = {"gitlab": (gitlab, "vendor.gitlab-ci"), "github": (github, "vendor.github-workflows")}


def a_job(name: str = "lint", **values: Any) -> Job:
    return Job(**{"name": name, "stage": "check", "about": "…", "script": ("true",), "on": ("main",)} | values)


def a_pipeline(*jobs: Job, stages: tuple[str, ...] = ("check",)) -> Pipeline:
    return Pipeline(name="ci", stages=stages, jobs=jobs)


@pytest.mark.parametrize("path", files(), ids=str)
def test_the_committed_file_is_what_the_definition_renders(path: Path) -> None:
    fix = "python -m carrental_mlops.deploy.ci.write && python examples/refresh.py"
    assert (ROOT / path).read_text() == files()[path], fix


@pytest.mark.parametrize(
    ("jobs", "stages", "told"),
    [
        ([a_job(stage="chekc")], ("check",), "unknown stage `chekc`"),
        ([a_job(needs=("tests",))], ("check",), "unknown job `tests`"),
        ([a_job(), a_job()], ("check",), "two jobs are called `lint`"),
        ([a_job("a", needs=("b",)), a_job("b", needs=("a",))], ("check",), "a circle of needs"),
        ([a_job("a", needs=("b",)), a_job("b", stage="late")], ("check", "late"), "of a later stage"),
        ([a_job("a", needs=("b",)), a_job("b", on=("tag",))], ("check",), "which no event of its own starts"),
        ([a_job("a", needs=("b",), takes=("b",)), a_job("b")], ("check",), "which keeps none"),
        ([a_job()], ("check", "empty"), "stage `empty` has no job"),
    ],
)
def test_a_pipeline_that_does_not_hold_together_is_refused(jobs: list[Job], stages: tuple[str, ...], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        a_pipeline(*jobs, stages=stages)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"name": "image"}, "a word of GitLab's own"),
        ({"takes": ("tests",)}, "which it does not need"),
        ({"junit": "junit.xml"}, "does not keep its report"),
        ({"sarif": "check.sarif"}, "does not keep its report"),
        ({"approval": True}, "names an environment"),
        ({"script": ("cat .crm/ci/tests/junit.xml",)}, "which it does not take or keep"),
    ],
)
def test_a_job_that_does_not_hold_together_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        a_job(**values)


@pytest.mark.parametrize("platform", SCHEMAS)
def test_what_is_rendered_fits_the_platforms_schema(platform: str, tmp_path: Path) -> None:
    module, schema = SCHEMAS[platform]
    rendered = [tmp_path / f"{name}.yml" for name in PIPELINES]
    for path in rendered:
        path.write_text(module.render(PIPELINES[path.stem]))
    broken = tmp_path / "broken.yml"
    broken.write_text("jobs: 3\nstages: 3\n")
    command = [BIN / "check-jsonschema", "--output-format", "json", "--builtin-schema", schema, *rendered, broken]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    assert {error["filename"] for error in told["errors"]} == {str(broken)} and told["parse_errors"] == []


@pytest.mark.parametrize("name", PIPELINES)
def test_stages_and_needs_of_the_gitlab_file_exist_which_its_schema_does_not_check(name: str) -> None:
    told = yaml.safe_load(gitlab.render(PIPELINES[name]))
    jobs = {job.name: told[job.name] for job in PIPELINES[name].jobs}
    assert {job["stage"] for job in jobs.values()} == set(told["stages"])
    for job in jobs.values():
        assert {need["job"] for need in job["needs"]} <= jobs.keys()


@pytest.mark.parametrize("name", PIPELINES)
def test_a_job_needs_for_sure_only_what_is_in_every_pipeline_that_it_is_in(name: str) -> None:
    pipeline = PIPELINES[name]
    told = yaml.safe_load(gitlab.render(pipeline))
    for job in pipeline.jobs:
        for need in told[job.name]["needs"]:
            other = pipeline.job(need["job"])
            always = set(job.on) <= set(other.on) and set(other.wants) <= set(job.wants)
            assert need.get("optional", False) is not always, (job.name, other.name)


@pytest.mark.parametrize("name", PIPELINES)
def test_github_jobs_get_no_right_that_they_do_not_use(name: str) -> None:
    told = yaml.safe_load(github.render(PIPELINES[name]))
    assert told["permissions"] == {}
    for job in PIPELINES[name].jobs:
        rights = told["jobs"][job.name]["permissions"]
        wanted = {"contents": "read"}
        wanted |= {"pull-requests": "write"} if job.comments else {}
        wanted |= {"contents": "write", "pull-requests": "write"} if job.proposes else {}
        wanted |= {"actions": "read", "security-events": "write"} if job.sarif else {}
        wanted |= {"id-token": "write"} if job.role or job.signs or job.environment else {}
        assert rights == wanted, job.name


def test_one_job_may_push_and_only_its_own_step_has_the_token() -> None:
    jobs = yaml.safe_load(github.render(MODEL_REPO))["jobs"]
    assert [name for name, job in jobs.items() if job["permissions"]["contents"] == "write"] == ["propose"]
    holding = [s["name"] for s in jobs["propose"]["steps"] if "GITHUB_TOKEN" in s.get("env", {})]
    assert holding == ["propose"] and "id-token" not in jobs["propose"]["permissions"]
    told = yaml.safe_load(gitlab.render(MODEL_REPO))
    ours = [job.name for job in MODEL_REPO.jobs if "CRM_PROPOSE_TOKEN" in json.dumps(told[job.name])]
    assert ours == ["propose"] and told["propose"]["rules"][0]["if"].endswith("&& $CRM_PROPOSE_TOKEN")


def test_tuning_reads_and_registers_nothing() -> None:
    tune = MODEL_REPO.job("tune")
    assert tune.role == "reader" and tune.on == ("nightly",) and "--engine local" in tune.script[0]


def test_one_github_job_hands_its_sarif_to_code_scanning_whatever_it_found_and_never_from_a_fork() -> None:
    jobs = yaml.safe_load(github.render(MODEL_REPO))["jobs"]
    by_job = {name: [s for s in job["steps"] if "codeql-action" in s.get("uses", "")] for name, job in jobs.items()}
    assert [name for name, steps in by_job.items() if steps] == ["config"]
    (step,) = by_job["config"]
    path = step["with"]["sarif_file"]
    wrote = next(n for n, s in enumerate(jobs["config"]["steps"]) if path in s.get("run", ""))
    assert jobs["config"]["steps"].index(step) > wrote and step["continue-on-error"] is True
    assert (
        step["if"].startswith("${{ !cancelled() && hashFiles(") and "head.repo.full_name == github.repo" in step["if"]
    )
    assert [n for n, j in jobs.items() if "security-events" in j["permissions"]] == ["config"]


@pytest.mark.parametrize("path", files(), ids=str)
def test_no_long_lived_key_and_no_action_or_image_that_may_change(path: Path) -> None:
    text = files()[path]
    assert re.findall(r"secrets\.|AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|_PASSWORD:", text) == []
    assert all(re.fullmatch(r"\S+@[0-9a-f]{40}  # v\S+", used) for used in re.findall(r"uses: (.+)", text))
    assert all("@sha256:" in image for image in re.findall(r"(?:image|PYTHON_IMAGE): (python:.+)", text))


def test_a_fresh_repo_with_no_cluster_has_checks_training_and_the_comment_alone() -> None:
    ours = [job.name for job in MODEL_REPO.jobs if "merge_request" in job.on and not job.wants]
    assert ours == ["lint", "tests", "config", "sample", "gate", "render", "scan", "comment"]
    assert [job.name for job in MODEL_REPO.jobs if "main" in job.on and job.environment and not job.wants] == []


def test_production_waits_for_a_person_and_for_the_load_test() -> None:
    approve, canary = MODEL_REPO.job("approve"), MODEL_REPO.job("canary")
    assert approve.approval and approve.needs == ("load-test",)
    assert "approve" in canary.needs and canary.wants == approve.wants and canary.on == approve.on
    told = yaml.safe_load(gitlab.render(MODEL_REPO))
    assert told["approve"]["rules"][0] == {**told["canary"]["rules"][0], "when": "manual", "allow_failure": False}
    jobs = yaml.safe_load(github.render(MODEL_REPO))["jobs"]
    assert (jobs["approve"]["environment"], jobs["canary"]["environment"]) == ("approval", "prod")
    assert "needs.approve.result == 'success'" in jobs["canary"]["if"]


PLAN = json.loads(Path(__file__).with_name("model_service_plan.json").read_text())
"""`terraform show -json` of the module `model-service`: what each role really gets."""
NEEDS = {
    "crm image build": ("ecr:PutImage", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload",
                        "ecr:BatchCheckLayerAvailability", "s3:GetObject models/1/model.txt"),
    "aws ecr get-login-password": ("ecr:GetAuthorizationToken",),
    "aws eks update-kubeconfig": ("eks:DescribeCluster",),
    "crm deploy": ("s3:PutObject releases/prod/1.json", "s3:GetObject models/1/model.txt"),
    "crm promote": ("s3:PutObject releases/prod/1.json", "s3:GetObject models/1/model.txt",
                    "s3:GetObject approvals/prod/fraud/1/1.json", "s3:ListBucket"),
    "crm rollback": ("s3:PutObject releases/prod/1.json", "s3:GetObject releases/prod/1.json", "s3:ListBucket"),
    "crm approve": ("s3:PutObject approvals/prod/fraud/1/1.json", "s3:GetObject releases/staging/1.json"),
    "crm run training --env staging": ("s3:PutObject models/1/model.txt", "s3:GetObject models/1/model.txt"),
    "crm run training --engine local": ("s3:GetObject models/1/model.txt",),
}  # fmt: skip
"""What a line of a job's script asks of AWS, where models, releases and approvals lie in the artefact bucket."""


POLICIES = {
    one["change"]["after"]["name"]: json.loads(one["change"]["after"]["policy"])["Statement"]
    for one in PLAN["resource_changes"]
    if one["type"] == "aws_iam_role_policy"
}


def _may(role: str, wanted: str) -> bool:
    action, _, key = wanted.partition(" ")
    allowed = [said for said in POLICIES[role] if said["Effect"] == "Allow" and action in said["Action"]]
    paths = [arn.partition("/")[2] for said in allowed for arn in said["Resource"]]
    return any(fnmatch(key, path) for path in paths) if key else bool(allowed)


@pytest.mark.parametrize("job", [job for job in MODEL_REPO.jobs if job.role], ids=lambda job: job.name)
def test_the_role_of_a_job_may_do_what_its_script_does(job: Job) -> None:
    wanted = {one for call, actions in NEEDS.items() if any(call in line for line in job.script) for one in actions}
    assert wanted, "no line of it is in NEEDS"
    assert {one for one in wanted if not _may(str(job.role), one)} == set()


@pytest.mark.parametrize("role", ["reader", "trainer", "deployer"])
def test_only_the_approver_may_write_a_yes(role: str) -> None:
    assert not _may(role, "s3:PutObject approvals/prod/fraud/1/1.json")
    assert not _may("approver", "s3:PutObject releases/prod/1.json")


def test_a_job_that_reaches_aws_has_a_role() -> None:
    calls = [call for call in NEEDS if "--engine local" not in call]
    bare = [job.name for job in MODEL_REPO.jobs if not job.role and any(c in s for c in calls for s in job.script)]
    assert bare == []


def test_jobs_that_train_approve_or_release_know_for_whom() -> None:
    told = yaml.safe_load(gitlab.render(MODEL_REPO))
    known = [
        name for name, job in told.items() if isinstance(job, dict) and "CRM_OIDC_TOKEN" in job.get("id_tokens", ())
    ]
    assert known == ["retrain", "staging", "approve", "canary", "rollback"]
    jobs = yaml.safe_load(github.render(MODEL_REPO))["jobs"]
    assert [name for name, job in jobs.items() if any("CRM_OIDC" in s.get("run", "") for s in job["steps"])] == known


def _called() -> list[tuple[str, list[str]]]:
    lines = [line for job in MODEL_REPO.jobs for line in job.script]
    found = (match for line in lines for match in re.findall(r"(?:^|&& )crm ([^>|&]+)", line))
    return [
        (call, shlex.split(re.sub(r"\$\{\w+:\+(.*?)\}", r"\1", call.replace('"$(', "'").replace(')"', "'"))))
        for call in found
    ]


@pytest.mark.parametrize(("call", "words"), _called(), ids=lambda value: value if isinstance(value, str) else "")
def test_jobs_call_commands_and_options_that_exist(call: str, words: list[str]) -> None:
    root = typer.main.get_command(app)
    noun, rest = words[0], words[1:]
    assert noun in Commands.summaries, call
    _, command, _ = root.resolve_command(typer.Context(root), [noun])
    inner = getattr(command, "commands", None)
    if inner:
        assert rest[0] in inner, call
        command, rest = inner[rest[0]], rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("--")} <= known, call
