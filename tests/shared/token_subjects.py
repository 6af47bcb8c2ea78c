"""Tokens as GitLab and GitHub really issue them for the jobs of a pipeline, and AWS' answer to them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from carrental_mlops.deploy.ci import github, gitlab
from carrental_mlops.deploy.ci.model_repo import MODEL_REPO

ISSUER = {"gitlab": "gitlab.example.com", "github": "token.actions.githubusercontent.com"}
_TIERS = ((r"(dev|review|trunk)", "development"), (r"(test|tst|int|ac(ce|)pt|qa|qc|control|quality)", "testing"),
          (r"(st(a|)g|mod(e|)l|pre|demo|non)", "staging"), (r"(pr(o|)d|live)", "production"))  # fmt: skip
"""GitLab's `Environment#guess_tier`: the first that is found in the name."""


def jobs(ci: str) -> dict[str, tuple[str, str | None]]:
    """Job to (role, environment), of the pipeline as that CI reads it."""
    told = yaml.safe_load({"gitlab": gitlab, "github": github}[ci].render(MODEL_REPO))
    found = told["jobs"] if ci == "github" else {k: v for k, v in told.items() if isinstance(v, dict) and "script" in v}
    made = {}
    for name, job in found.items():
        role = re.search(r"CRM_ROLE_([A-Z]+)", json.dumps(job))
        environment = job.get("environment")
        named = environment["name"] if isinstance(environment, dict) else environment
        if role:
            made[name] = (role[1].lower(), named)
    return made


def gitlab_token(environment: str | None, ref: str = "main", project: str = "ds/fraud-payments", protected: bool = True,
                 components: tuple[str, ...] = ("project_path", "ref_type", "ref")) -> dict[str, str]:  # fmt: skip
    """Claims of a GitLab job; what has no value is left out of `sub`."""
    tier = next((tier for found, tier in _TIERS if re.search(found, environment or "", re.I)), "other")
    claims = {"project_path": project, "ref_type": "branch", "ref": ref}
    if environment:
        claims |= {"deployment_tier": tier, "environment_protected": str(protected).lower()}
    sub = ":".join(f"{name}:{claims[name]}" for name in components if name in claims)
    return {"iss": ISSUER["gitlab"], "aud": "sts.amazonaws.com", "sub": sub}


def github_token(environment: str | None, ref: str = "refs/heads/main", project: str = "ds/fraud-payments",
                 pull_request: bool = False) -> dict[str, str]:  # fmt: skip
    """Claims of a GitHub job."""
    which = f"environment:{environment}" if environment else "pull_request" if pull_request else f"ref:{ref}"
    return {"iss": ISSUER["github"], "aud": "sts.amazonaws.com", "sub": f"repo:{project}:{which}"}


def takes(token: Mapping[str, str], policy: str) -> bool:
    """Whether AWS lets the bearer of `token` take the role with this trust policy (StringEquals, StringLike)."""
    for said in json.loads(policy)["Statement"]:
        assert said["Effect"] == "Allow" and said["Action"] == "sts:AssumeRoleWithWebIdentity"
        assert set(said["Condition"]) == {"StringEquals", "StringLike"}
        provider = said["Principal"]["Federated"].partition("oidc-provider/")[2]
        held = [
            any(
                _like(token.get(key.removeprefix(f"{provider}:"), ""), value, kind == "StringLike")
                for value in _list(given)
            )
            for kind, tests in said["Condition"].items()
            for key, given in tests.items()
        ]
        if provider == token["iss"] and all(held):
            return True
    return False


def _like(text: str, pattern: str, like: bool) -> bool:
    known = {"*": ".*", "?": "."} if like else {}
    return re.fullmatch("".join(known.get(sign, re.escape(sign)) for sign in pattern), text, re.S) is not None


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
