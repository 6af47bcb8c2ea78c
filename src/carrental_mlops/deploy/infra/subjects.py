"""Who may take which IAM role: the `sub` of the OIDC tokens that the jobs of a repo's own pipeline get.

Source: https://docs.gitlab.com/ci/secrets/id_token_authentication/ (`ci_id_token_sub_claim_components`; a component
that a job lacks is left out: `Gitlab::Ci::JwtV2`; an environment's tier goes by its name: `Environment#guess_tier`);
https://docs.github.com/actions/reference/security/oidc (a job with an environment is named by it, not by its branch).
"""

from __future__ import annotations

from typing import Literal

from carrental_mlops.config.infra import Subjects
from carrental_mlops.deploy.ci.definition import Job
from carrental_mlops.deploy.ci.model_repo import MODEL_REPO
from carrental_mlops.errors import ConfigError

Ci = Literal["gitlab", "github"]
GITLAB_COMPONENTS = ("project_path", "ref_type", "ref", "deployment_tier", "environment_protected")
"""What a GitLab project must put into `sub`: by its default, all jobs of one branch have one `sub`."""
_TIERS = {"staging": "staging", "prod": "production", "approval": "other"}
"""Environment of the pipeline to GitLab's tier for that name."""


def subjects_of(ci: Ci, project: str, branch: str = "main") -> Subjects:
    """Subjects of each role, as `deploy.infra.ci_subjects` takes them.

    Args:
        ci: whose tokens.
        project: `group/project`, or GitHub's `owner/repository`; where GitHub puts ids into the subject (repositories
            made since July 2026), `owner@id/repository@id`.
        branch: that the pipeline releases from.

    Raises:
        ConfigError: `project` is no path of a project.
    """
    if "/" not in project.strip("/") or "*" in project or "?" in project:
        raise ConfigError(f"`{project}` is no path of a project", "--project group/project")
    prefix = f"repo:{project}" if ci == "github" else f"project_path:{project}"
    named: dict[str, list[str]] = {}
    for job in MODEL_REPO.jobs:
        if job.role:
            subject = f"{prefix}:*" if job.role == "reader" else prefix + _which(ci, job, branch)
            named.setdefault(job.role, []).append(subject)
    return Subjects.model_validate({role: tuple(dict.fromkeys(subjects)) for role, subjects in named.items()})


def _which(ci: Ci, job: Job, branch: str) -> str:
    if ci == "github":
        return f":environment:{job.environment}" if job.environment else f":ref:refs/heads/{branch}"
    tier = f":deployment_tier:{_TIERS[job.environment]}:environment_protected:true" if job.environment else ""
    return f":ref_type:branch:ref:{branch}{tier}"
