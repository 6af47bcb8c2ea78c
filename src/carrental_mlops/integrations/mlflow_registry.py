"""The models of a service in MLflow's registry: versions, and who is champion and challenger."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrental_mlops.core.context import Context
from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.files import folder_digest, locked
from carrental_mlops.integrations.mlflow_client import (
    client_for,
    database_of,
    is_missing,
    platform_errors,
    tracking_uri,
)
from carrental_mlops.integrations.mlflow_lock import registry_lock
from carrental_mlops.integrations.mlflow_tracking import mlflow_run_id

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class RegisteredModel:
    """One version in the registry."""

    version: str
    digest: str
    """`Model.digest` of what was registered."""
    run_id: str
    """The run of ours (`crm.run_id`) that registered it."""
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    """As measured when it was registered."""
    registered_at: float
    """Seconds since 1970-01-01 UTC."""


class Registry:
    """The registered model named `service` in the MLflow store at `tracking_uri`.

    Every method raises PlatformError (retryable) when the store cannot be reached after a few quick retries.
    """

    def __init__(self, tracking_uri: str, service: str) -> None:
        self.uri, self.service = tracking_uri, service

    def register(
        self, folder: Path, digest: str, run_id: str, tags: Mapping[str, str], metrics: Mapping[str, float]
    ) -> str:
        """The version that now holds the files of `folder`; the alias `challenger` points to it, set last.

        The same digest and files registered again give the version that already holds them, so a rerun after a kill
        leaves no double.

        Args:
            folder: what `Model.save` wrote; copied to the run's artefacts under `model/`.
            digest: `Model.digest`.
            run_id: of the run of ours; found again as the MLflow run that carries it.
            tags: kept on the version, values cut at 5,000 characters.
            metrics: kept on the version as tags `metric.<name>`.
        """
        files = folder_digest(folder)
        kept = {
            **{k: str(v)[:5000] for k, v in tags.items()},
            **{f"metric.{k}": json.dumps(float(v)) for k, v in metrics.items()},
            "digest": digest,
            "crm.run_id": run_id,
            "crm.files": files,
        }
        with platform_errors(self.uri):
            home = None if self._holding(digest, files) else self._upload(folder, run_id)
            with self._exclusive():
                same = self._holding(digest, files)
                version = same.version if same else self._create(home or self._upload(folder, run_id), kept)
                if same:
                    for key, value in kept.items():
                        self._client().set_model_version_tag(self.service, version, key, value)
                self._client().set_registered_model_alias(self.service, CHALLENGER, version)
            return version

    def promote(self, version: str, expected: str | None) -> bool:
        """Make `version` the champion if the champion still is `expected` (None: there is none); False if it is not.

        Of several processes that promote at once one wins: on a local store a lock file keeps the others out, on a
        server `mlflow_lock`. What remains, for MLflow cannot set an alias on a condition: a process that stands still
        between its last look at the lock and its write for longer than the lock's lease (a suspended machine) may
        still write, and whoever sets the alias without `crm` asks no lock. Then this returns False where it can see
        it, and `champion` is whatever was written last: always one whole registered version.

        Raises:
            ConfigError: no such version.
        """
        with platform_errors(self.uri), self._exclusive() as held:
            champion = self.champion()
            if (champion.version if champion else None) != expected:
                return False
            self._version(version)
            if not held():
                return False
            self._client().set_registered_model_alias(self.service, CHAMPION, version)
            now = self.champion()
            return now is not None and now.version == version

    def champion(self) -> RegisteredModel | None:
        """The version that serves, if one was promoted."""
        return self._by_alias(CHAMPION)

    def challenger(self) -> RegisteredModel | None:
        """The version registered last, if any."""
        return self._by_alias(CHALLENGER)

    def versions(self) -> list[RegisteredModel]:
        """Every version, newest first; empty before the first `register`."""
        with platform_errors(self.uri):
            client, found, token = self._client(), [], None
            while True:
                page = client.search_model_versions(f"name = '{self.service}'", page_token=token)
                found += [_model(v) for v in page]
                token = page.token
                if not token:
                    return sorted(found, key=lambda m: int(m.version), reverse=True)

    def version(self, number: str) -> RegisteredModel:
        """The version `number`.

        Raises:
            ConfigError: no such version.
        """
        with platform_errors(self.uri):
            return _model(self._version(number))

    def tag(self, number: str, name: str, value: str) -> None:
        """Set a tag of the version `number`; MLflow keeps 5,000 characters.

        Raises:
            ConfigError: no such version.
        """
        with platform_errors(self.uri):
            self._version(number)
            self._client().set_model_version_tag(self.service, number, name, value[:5000])

    def fetch(self, version: str, into: Path) -> Path:
        """`into`, now holding the files of `version`, checked against the digest taken when it was registered.

        Raises:
            DataError: the files differ from what was registered; `into` is left as it was.
            ConfigError: no such version.
        """
        with platform_errors(self.uri):
            stored = self._version(version)
            with tempfile.TemporaryDirectory(prefix="crm-fetch-") as scratch:
                copy = self._download(stored.source, Path(scratch) / "model")
                expected, found = stored.tags.get("crm.files", ""), folder_digest(copy)
                if found != expected:
                    raise DataError(
                        f"model {self.service} version {version} is not what was registered: "
                        f"files have sha256 {found}, the registry recorded {expected or 'none'}",
                        "restore the artefact store, or register again: crm run training",
                    )
                shutil.copytree(copy, into, dirs_exist_ok=True)
        return into

    def _holding(self, digest: str, files: str) -> RegisteredModel | None:
        return next((m for m in self.versions() if (m.digest, m.tags.get("crm.files")) == (digest, files)), None)

    def _upload(self, folder: Path, run_id: str) -> str:
        """MLflow's id of the run whose artefacts now hold `folder` as `model/`."""
        home = mlflow_run_id(self.uri, self.service, run_id)
        self._client().log_artifacts(home, str(folder), "model")
        return home

    def _create(self, home: str, tags: Mapping[str, str]) -> str:
        client = self._client()
        if not _found(lambda: client.get_registered_model(self.service)):
            client.create_registered_model(self.service)
        source = f"{client.get_run(home).info.artifact_uri}/model"
        return str(client.create_model_version(self.service, source, home, tags=dict(tags)).version)

    def _download(self, source: str, target: Path) -> Path:
        from mlflow.artifacts import download_artifacts

        if source.startswith("file:"):
            from urllib.parse import unquote, urlparse

            local = Path(unquote(urlparse(source).path))
            if not local.is_dir():
                raise DataError(f"{local}: the registered files are gone", "register again: crm run training")
            return local
        target.mkdir()
        return Path(download_artifacts(artifact_uri=source, dst_path=str(target), tracking_uri=self.uri))

    def _by_alias(self, alias: str) -> RegisteredModel | None:
        with platform_errors(self.uri):
            found = _found(lambda: self._client().get_model_version_by_alias(self.service, alias))
            return _model(found) if found else None

    def _version(self, version: str) -> Any:
        found = _found(lambda: self._client().get_model_version(self.service, version))
        if not found:
            known = ", ".join(m.version for m in self.versions()) or "none"
            raise ConfigError(f"model {self.service} has no version {version}", f"choose one of: {known}")
        return found

    def _client(self) -> Any:
        return client_for(self.uri)

    @contextmanager
    def _exclusive(self) -> Iterator[Callable[[], bool]]:
        """No other process of ours in this registry; gives a function that says whether that still holds."""
        database = database_of(self.uri)
        if database is None:
            with registry_lock(self.uri, self.service) as held:
                yield held
        else:
            with locked(database.with_name("registry.lock")):
                yield lambda: True


def registry_for(context: Context) -> Registry:
    """The registry of the run's service: the store that the run tracks to, else the repo's own."""
    return Registry(tracking_uri(context.root, context.tracking_uri), context.service)


def _model(found: Any) -> RegisteredModel:
    tags = dict(found.tags)
    metrics = {k.removeprefix("metric."): float(json.loads(v)) for k, v in tags.items() if k.startswith("metric.")}
    made = int(found.creation_timestamp or 0) / 1000
    return RegisteredModel(str(found.version), tags.get("digest", ""), tags.get("crm.run_id", ""), tags, metrics, made)


def _found(read: Any) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return read()
    except MlflowException as error:
        if is_missing(error):
            return None
        raise
