"""From what a foreign server names, a folder, to the application of the repo."""

from __future__ import annotations

import os
from pathlib import Path

from carrental_mlops.config.repo import find_repo
from carrental_mlops.errors import ConfigError
from carrental_mlops.serving.app import App
from carrental_mlops.serving.load import open_app


def open_bundle(bundle: Path) -> App:
    """The application that answers with the model in `bundle`.

    The repo is the one that `CRM_REPO` names, else the one that `bundle` lies in; `CRM_ENV` names the environment.

    Raises:
        ConfigError: there is no such repo, or it wants callers authenticated, which a foreign server cannot do.
        DataError: the bundle is incomplete.
    """
    root = find_repo(Path(os.environ.get("CRM_REPO") or bundle))
    app = open_app(root, bundle, os.environ.get("CRM_ENV"), ("serving.grpc_port=null",))
    if app.door is not None:
        raise ConfigError(
            "serving.auth is set, but only crm's own server can hold callers to it",
            "authenticate in front of this server, and set serving.auth.kind: none in an environment for it",
        )
    return app
