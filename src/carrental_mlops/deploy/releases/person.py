"""Who asks, for the record; what somebody may do is decided by IAM and the cluster, not by this name."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from carrental_mlops.integrations.code_version import git_user

TOKEN = "CRM_OIDC_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable with the OIDC token of the CI job."""
_CLAIMS = ("user_email", "user_login", "actor", "email", "sub")


def person(root: Path, environment: Mapping[str, str]) -> str:
    """The person or job that the CI's OIDC token names, else git's user; `unknown` where nothing tells.

    Args:
        root: of the model repo.
        environment: variables of the process.

    Source: RFC 7519, section 3 (the claims are read, the signature is not checked); claims of GitLab's id_tokens
    (`user_email`, `user_login`) and GitHub's (`actor`).
    """
    try:
        body = environment[TOKEN].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return next(str(claims[name]) for name in _CLAIMS if claims.get(name))
    except (KeyError, IndexError, ValueError, AttributeError, TypeError, StopIteration):
        return git_user(root) or "unknown"
