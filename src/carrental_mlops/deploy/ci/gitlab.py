"""A pipeline as `.gitlab-ci.yml`. Source: https://docs.gitlab.com/ci/yaml/."""

from __future__ import annotations

from typing import Any

from carrental_mlops.deploy.ci.definition import KEPT, Event, Job, Pipeline
from carrental_mlops.deploy.ci.images import PYTHON
from carrental_mlops.deploy.ci.yaml_text import block

_IF: dict[Event, str] = {
    "merge_request": '$CI_PIPELINE_SOURCE == "merge_request_event"',
    "main": '$CI_PIPELINE_SOURCE == "push" && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH',
    "nightly": '$CI_PIPELINE_SOURCE == "schedule"',
    "tag": "$CI_COMMIT_TAG",
    "rollback": '$CI_PIPELINE_SOURCE == "web" && $CRM_DO == "rollback"',
}
_AWS_FILE = "/tmp/crm-aws-token"  # noqa: S108  the job's own container
_PROPOSE_TOKEN = "CRM_PROPOSE_TOKEN"  # noqa: S105  the name of a variable
"""A job's own token may open no merge request; without this one there is no such job."""
_POST = (
    "curl --fail --silent --show-error --output /dev/null"
    ' --header "PRIVATE-TOKEN: $CRM_COMMENT_TOKEN" --data-urlencode "body@{path}"'
    ' "$CI_API_V4_URL/projects/$CI_PROJECT_ID/merge_requests/$CI_MERGE_REQUEST_IID/notes"'
)


def render(pipeline: Pipeline) -> str:
    """The file's text, without its first line.

    Args:
        pipeline: holds together, or it could not have been made.
    """
    head = {
        "stages": list(pipeline.stages),
        "workflow": {"rules": [{"if": _IF[event]} for event in pipeline.events()]},
        "variables": {"UV_CACHE_DIR": "$CI_PROJECT_DIR/.cache/uv", "GIT_DEPTH": "1"},
        "default": {
            "image": PYTHON["3.11"],
            "interruptible": True,
            "cache": {"key": {"files": ["requirements/dev.txt"]}, "paths": [".cache/"]},
        },
    }
    jobs = (f"# {job.about}.\n{block({job.name: _job(pipeline, job)})}" for job in pipeline.jobs)
    return "\n".join([block(head), *jobs])


def _job(pipeline: Pipeline, job: Job) -> dict[str, Any]:
    made: dict[str, Any] = {"stage": job.stage, "timeout": f"{job.minutes} minutes", "rules": _rules(job)}
    if job.pythons:
        made["parallel"] = {"matrix": [{"PYTHON_IMAGE": [PYTHON[version] for version in job.pythons]}]}
        made["image"] = "$PYTHON_IMAGE"
    made["needs"] = [_need(pipeline, job, name) for name in job.needs]
    if job.environment:
        made |= {"environment": {"name": job.environment}, "resource_group": job.environment, "interruptible": False}
    if tokens := _tokens(job):
        made["id_tokens"] = tokens
    variables = dict(job.env) | ({"GIT_DEPTH": "0"} if job.history else {})
    if variables:
        made["variables"] = variables
    made["before_script"] = _before(job)
    token = [f'export CRM_HOST=gitlab GITLAB_TOKEN="${_PROPOSE_TOKEN}"'] if job.proposes else []
    made["script"] = [*token, *job.script, *_posted(job)]
    if job.keeps:
        kept: dict[str, Any] = {"when": "always", "expire_in": "30 days", "paths": [f"{KEPT}/{job.name}/"]}
        named = {"junit": job.junit, "codequality": job.quality}
        reports = {kind: f"{KEPT}/{job.name}/{file}" for kind, file in named.items() if file}
        made["artifacts"] = kept | ({"reports": reports} if reports else {})
    return made


def _rules(job: Job) -> list[dict[str, Any]]:
    how = {"when": "manual", "allow_failure": False} if job.approval else {"when": "always"} if job.always else {}
    wants = (*job.wants, *((_PROPOSE_TOKEN,) if job.proposes else ()))
    return [{"if": " && ".join([_IF[event], *(f"${name}" for name in wants)]), **how} for event in job.on]


def _need(pipeline: Pipeline, job: Job, name: str) -> dict[str, Any]:
    """Optional where the other job is not in every pipeline that this one is in."""
    other = pipeline.job(name)
    sometimes = bool(set(job.on) - set(other.on) or set(other.wants) - set(job.wants))
    return {"job": name, "artifacts": name in job.takes} | ({"optional": True} if sometimes else {})


def _tokens(job: Job) -> dict[str, Any]:
    aws = {"CRM_AWS_TOKEN": {"aud": "sts.amazonaws.com"}} if job.role else {}
    person = {"CRM_OIDC_TOKEN": {"aud": "crm"}} if job.names_person else {}
    return aws | person | ({"SIGSTORE_ID_TOKEN": {"aud": "sigstore"}} if job.signs else {})


def _before(job: Job) -> list[str]:
    always = ("git", "libgomp1", "make") if job.setup else ()
    packages = [*job.packages, *(["curl"] if job.comments else []), *always]
    lines = [f"apt-get update -qq && apt-get install -qq --yes --no-install-recommends {' '.join(packages)}"]
    if job.setup:
        lines += ["make setup", 'export PATH="$PWD/.venv/bin:$PATH" PYTHONPATH=src']
    if job.role:
        role = f"CRM_ROLE_{job.role.upper()}"
        lines.append(
            f'if [ -n "${role}" ]; then (umask 077 && printf %s "$CRM_AWS_TOKEN" > {_AWS_FILE});'
            f' export AWS_WEB_IDENTITY_TOKEN_FILE={_AWS_FILE} AWS_ROLE_ARN="${role}"; fi'
        )
    return lines + ([f"mkdir -p {KEPT}/{job.name}"] if job.keeps else [])


def _posted(job: Job) -> list[str]:
    if not job.comments:
        return []
    path = f"{KEPT}/{job.name}/comment.md"
    return [f'if [ -n "$CRM_COMMENT_TOKEN" ]; then {_POST.format(path=path)}; else cat {path}; fi']
