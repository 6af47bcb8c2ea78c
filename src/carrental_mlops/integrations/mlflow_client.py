"""One quiet MLflow client per store, and its failures as `PlatformError`."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carrental_mlops.core import Context
from carrental_mlops.errors import PlatformError, shown_url
from carrental_mlops.files import locked
from carrental_mlops.integrations.local_store import repoint

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def tracking_uri(root: Path, configured: str | None = None) -> str:
    """Where the repo's runs and models are kept: MLFLOW_TRACKING_URI, else `configured`, else a database in `.crm/`.

    `mlflow run` sets MLFLOW_TRACKING_URI to an `mlflow.db` in the project if none is named; it counts as none.
    """
    local, given = f"sqlite:///{root.resolve()}/.crm/mlflow.db", os.environ.get("MLFLOW_TRACKING_URI")
    if "MLFLOW_RUN_ID" in os.environ and given == f"sqlite:///{root.resolve()}/mlflow.db":
        given = None
    return given or configured or local


def database_of(uri: str) -> Path | None:
    """The file behind an SQLite tracking URI, else None."""
    return Path(uri.removeprefix("sqlite:///").split("?")[0]).resolve() if uri.startswith("sqlite:///") else None


def has_registry(context: Context) -> bool:
    """Whether the run has a store to read: a server, or a database that exists; asking makes none."""
    database = database_of(tracking_uri(context.root, context.tracking_uri))
    return database is None or database.is_file()


def artifact_location(uri: str) -> str | None:
    """Where a new experiment's artefacts go: `mlartifacts/` beside an SQLite file, else the server's choice."""
    database = database_of(uri)
    return (database.parent / "mlartifacts").as_uri() if database else None


@functools.cache
def client_for(uri: str) -> Any:
    """The `MlflowClient` of `uri`; creates, upgrades and repoints a local database under a lock.

    Raises:
        PlatformError: the store cannot be reached; retryable.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow import MlflowClient

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    database = database_of(uri)
    with platform_errors(uri):
        if database is None:
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
        with locked(database.with_name("mlflow.init.lock")):
            _make(database)
            repoint(database, database.parent)
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.get_experiment_by_name("Default")
            return client


def _make(database: Path) -> None:
    """Create a database under another name first: MLflow does not mend one whose making was killed."""
    if not database.exists():
        from mlflow import MlflowClient

        making = database.with_name(f"{database.name}.making")
        making.unlink(missing_ok=True)
        MlflowClient(tracking_uri=f"sqlite:///{making}").get_experiment_by_name("Default")
        making.replace(database)


@contextmanager
def platform_errors(uri: str) -> Iterator[None]:
    """Turn MLflow's, the network's and the database's failures inside the block into `PlatformError`."""
    try:
        yield
    except PlatformError:
        raise
    except Exception as error:
        if not _is_platform(error):
            raise
        database = database_of(uri)
        fix = (
            f"make {database.parent} writable, or set MLFLOW_TRACKING_URI"
            if database
            else "check the server, then repeat"
        )
        said = _first_line(error).replace(uri, shown_url(uri))
        raise PlatformError(f"MLflow at {shown_url(uri)}: {said}", fix, retryable=True) from error


def is_missing(error: Exception) -> bool:
    """True when MLflow says that the thing asked for does not exist."""
    missing = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}
    return getattr(error, "error_code", "") in missing or ("alias" in str(error) and "not found" in str(error))


def _is_platform(error: Exception) -> bool:
    root = type(error).__module__.split(".")[0]
    return root in {"mlflow", "requests", "urllib3", "sqlalchemy", "sqlite3", "botocore"} or isinstance(error, OSError)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
