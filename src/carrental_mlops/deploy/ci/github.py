"""A pipeline as a GitHub Actions workflow.

Every value of the platform reaches a script as an environment variable, never as text of the script.
Source: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax.
"""

from __future__ import annotations

from typing import Any

from carrental_mlops.deploy.ci.definition import KEPT, Event, Job, Pipeline
from carrental_mlops.deploy.ci.images import ACTIONS
from carrental_mlops.deploy.ci.yaml_text import block

RUNNER = "ubuntu-24.04"
_THERE = frozenset({"awscli", "buildah", "curl", "git", "libgomp1", "make"})
"""Debian packages whose content the runner's image has. Source: actions/runner-images, Ubuntu2404-Readme."""
_IF: dict[Event, str] = {
    "merge_request": "github.event_name == 'pull_request'",
    "main": "(github.event_name == 'push' && github.ref_type == 'branch')",
    "nightly": "github.event_name == 'schedule'",
    "tag": "(github.event_name == 'push' && github.ref_type == 'tag')",
    "rollback": "github.event_name == 'workflow_dispatch'",
}
_OWN = "github.event.pull_request.head.repo.full_name == github.repository"
"""A merge request from a fork has no right to comment, nor to write what code scanning found."""
_AWS = """\
test -n "$ROLE" || exit 0
curl --fail --silent --show-error -H "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" \\
  "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=sts.amazonaws.com" \\
  | python -c 'import json, sys; print(json.load(sys.stdin)["value"], end="")' > "$RUNNER_TEMP/aws-token"
echo "AWS_WEB_IDENTITY_TOKEN_FILE=$RUNNER_TEMP/aws-token" >> "$GITHUB_ENV"
echo "AWS_ROLE_ARN=$ROLE" >> "$GITHUB_ENV"
"""
_PERSON = """\
token=$(curl --fail --silent --show-error -H "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" \\
  "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=crm" | python -c 'import json, sys; print(json.load(sys.stdin)["value"])')
echo "::add-mask::$token"
echo "CRM_OIDC_TOKEN=$token" >> "$GITHUB_ENV"
"""
_POST = """\
gh pr comment "$REQUEST" --edit-last --body-file {path} 2> /dev/null || gh pr comment "$REQUEST" --body-file {path}
"""


def render(pipeline: Pipeline) -> str:
    """The file's text, without its first line.

    Args:
        pipeline: holds together, or it could not have been made.
    """
    head = {
        "name": pipeline.name,
        "on": _triggers(pipeline),
        "permissions": {},
        "defaults": {"run": {"shell": "bash"}},
        "concurrency": {
            "group": f"{pipeline.name}-${{{{ github.event_name }}}}-${{{{ github.ref }}}}",
            "cancel-in-progress": "${{ github.event_name == 'pull_request' }}",
        },
    }
    if pipeline.variables:
        head["env"] = {name: f"${{{{ vars.{name} }}}}" for name in pipeline.variables}
    jobs = (f"  # {job.about}.\n{block({job.name: _job(pipeline, job)}, 2)}" for job in pipeline.jobs)
    return _versions("\n".join([block(head), "jobs:\n" + "\n".join(jobs)]))


def _triggers(pipeline: Pipeline) -> dict[str, Any]:
    events = pipeline.events()
    pushed = {"branches": ["main"]} if "main" in events else {}
    pushed |= {"tags": ["v*"]} if "tag" in events else {}
    made: dict[str, Any] = {"pull_request": {}} if "merge_request" in events else {}
    made |= {"push": pushed} if pushed else {}
    made |= {"schedule": [{"cron": pipeline.nightly}]} if "nightly" in events else {}
    if "rollback" in events:
        to = {"description": "Roll production back to this release; empty: the one before", "type": "string"}
        made["workflow_dispatch"] = {"inputs": {"to": to}}
    return made


def _job(pipeline: Pipeline, job: Job) -> dict[str, Any]:
    made: dict[str, Any] = {"name": job.name, "if": _condition(pipeline, job)}
    if job.needs:
        made["needs"] = list(job.needs)
    made |= {"runs-on": RUNNER, "timeout-minutes": job.minutes, "permissions": _permissions(job)}
    if job.pythons:
        made["strategy"] = {"matrix": {"python": list(job.pythons)}}
    if job.environment:
        made |= {
            "environment": job.environment,
            "concurrency": {"group": f"environment-{job.environment}", "cancel-in-progress": False},
        }
    env = dict(job.env) | ({"CRM_TO": "${{ inputs.to }}"} if "rollback" in job.on else {})
    if env:
        made["env"] = env
    made["steps"] = _steps(job)
    return made


def _condition(pipeline: Pipeline, job: Job) -> str:
    events = " || ".join(_IF[event] for event in job.on)
    parts = [f"({events})" if len(job.on) > 1 else events, *(f"vars.{name} != ''" for name in job.wants)]
    if job.needs:
        parts.insert(0, "!cancelled()" if job.always else "!cancelled() && !failure()")
    if job.comments:
        parts.append(_OWN)
    done = [n for n in job.needs if not job.always and set(job.on) <= set(pipeline.job(n).on)
            and set(pipeline.job(n).wants) <= set(job.wants)]  # fmt: skip
    parts += [f"needs.{name}.result == 'success'" for name in done]
    return f"${{{{ {' && '.join(parts)} }}}}"


def _permissions(job: Job) -> dict[str, str]:
    made = {"contents": "read"}
    if job.role or job.signs or job.environment:
        made["id-token"] = "write"
    if job.comments:
        made["pull-requests"] = "write"
    if job.proposes:
        made |= {"contents": "write", "pull-requests": "write"}
    if job.sarif:
        made |= {"actions": "read", "security-events": "write"}
    return made


def _steps(job: Job) -> list[dict[str, Any]]:
    python = "${{ matrix.python }}" if job.pythons else "3.11"
    steps: list[dict[str, Any]] = [
        {"uses": ACTIONS["checkout"][0], "with": {"persist-credentials": False} | _history(job)},
        {"uses": ACTIONS["python"][0], "with": {"python-version": python}},
    ]
    if missing := [name for name in job.packages if name not in _THERE]:
        steps.append({"run": f"sudo apt-get update -qq && sudo apt-get install -qq --yes {' '.join(missing)}"})
    if job.signs:
        steps.append({"uses": ACTIONS["cosign"][0]})
    if job.setup:
        ready = 'make setup\necho "$PWD/.venv/bin" >> "$GITHUB_PATH"\necho "PYTHONPATH=src" >> "$GITHUB_ENV"\n'
        steps.append({"name": "environment", "run": ready})
    for name in job.takes:
        where = {"name": name, "path": f"{KEPT}/{name}"}
        steps.append(
            {"uses": ACTIONS["download"][0], "with": where} | ({"continue-on-error": True} if job.always else {})
        )
    if job.role:
        role = {"ROLE": f"${{{{ vars.CRM_ROLE_{job.role.upper()} }}}}"}
        steps.append({"name": "AWS by the job's own OIDC token", "env": role, "run": _AWS})
    if job.names_person:
        steps.append({"name": "who asks", "run": _PERSON})
    prepared = (f"mkdir -p {KEPT}/{job.name}",) if job.keeps else ()
    own = {"env": {"CRM_HOST": "github", "GITHUB_TOKEN": "${{ github.token }}"}} if job.proposes else {}
    steps.append({"name": job.name} | own | {"run": "\n".join([*prepared, *job.script]) + "\n"})
    return steps + _after(job)


def _history(job: Job) -> dict[str, Any]:
    return {"fetch-depth": 0} if job.history else {}


def _after(job: Job) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    if job.comments:
        env = {"GH_TOKEN": "${{ github.token }}", "REQUEST": "${{ github.event.pull_request.number }}"}
        path = f"{KEPT}/{job.name}/comment.md"
        steps.append({"name": "post", "env": env, "run": _POST.format(path=path)})
    if job.sarif:
        steps.append(_scanned(f"{KEPT}/{job.name}/{job.sarif}", job.name))
    if job.keeps:
        kept = {"name": job.name, "path": f"{KEPT}/{job.name}", "include-hidden-files": True, "retention-days": 30}
        steps.append({"if": "always()", "uses": ACTIONS["upload"][0], "with": kept})
    return steps


def _scanned(path: str, category: str) -> dict[str, Any]:
    """Hands a report to code scanning; the job's verdict stays its own, for not every repo has code scanning.

    The action asks which workflow it is in, so a private repo's token needs `actions: read` too.
    """
    made = f"${{{{ !cancelled() && hashFiles('{path}') != '' && (github.event_name != 'pull_request' || {_OWN}) }}}}"
    return {
        "name": "code scanning",
        "if": made,
        "continue-on-error": True,
        "uses": ACTIONS["sarif"][0],
        "with": {"sarif_file": path, "category": category},
    }


def _versions(text: str) -> str:
    """Beside each action's commit the version that it has, as a comment."""
    for action, version in ACTIONS.values():
        text = text.replace(f"{action}\n", f"{action}  # {version}\n")
    return text
