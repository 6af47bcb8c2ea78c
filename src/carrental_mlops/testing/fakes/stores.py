"""Fakes of what keeps things: files and objects, MLflow's runs, the model registry."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from carrental_mlops.core.context import Context
from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.files import folder_digest
from carrental_mlops.integrations.mlflow_registry import RegisteredModel
from carrental_mlops.integrations.mlflow_tracking import Status
from carrental_mlops.integrations.source_files import ListedFile, hidden


class FakeFiles:
    """A place where files lie (`integrations.source_files.Files`), an object store too: path to content.

    Args:
        files: `part-0.csv` to its bytes.
        shown: the place as a person reads it.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None, shown: str = "fake://bucket/") -> None:
        self.files, self.shown = dict(files or {}), shown

    def entries(self) -> Iterator[ListedFile]:
        """Every file whose name does not begin with `.` or `_`."""
        for path, content in self.files.items():
            if not hidden(path):
                yield ListedFile(path, len(content), hashlib.sha256(content).hexdigest())

    def contents(self, paths: Sequence[str]) -> list[bytes | Exception]:
        """The bytes of each of `paths`, or why they cannot be had."""
        return [self.files.get(path, FileNotFoundError(f"{self.shown}{path}")) for path in paths]

    @contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """A local file with the content, there while the block runs.

        Raises:
            DataError: there is no such file.
        """
        if path not in self.files:
            raise DataError(f"{self.shown}{path}: no such file", "give FakeFiles one of that path")
        with tempfile.TemporaryDirectory(prefix="crm-fake-") as scratch:
            local = Path(scratch) / Path(path).name
            local.write_bytes(self.files[path])
            yield local

    def digest(self, path: str) -> str | None:
        """sha256 (hex) of a file."""
        return hashlib.sha256(self.files[path]).hexdigest() if path in self.files else None

    def create(self, path: str, content: bytes) -> bool:
        """Put `content` as `path`, unless something is there: then False, and nothing is written."""
        if path in self.files:
            return False
        self.files[path] = content
        return True


class FakeRegistry:
    """A service's models (`integrations.mlflow.Registry`), files and all, in memory."""

    def __init__(self, service: str = "fake") -> None:
        self.uri, self.service = "fake://registry", service
        self._models: dict[str, RegisteredModel] = {}
        self._files: dict[str, dict[str, bytes]] = {}
        self._champion: str | None = None
        self._challenger: str | None = None

    def register(
        self, folder: Path, digest: str, run_id: str, tags: Mapping[str, str], metrics: Mapping[str, float]
    ) -> str:
        """The version that now holds the files of `folder`; it is the challenger. The same again is that version."""
        files = folder_digest(folder)
        kept = {
            **{k: str(v)[:5000] for k, v in tags.items()},
            **{f"metric.{k}": json.dumps(float(v)) for k, v in metrics.items()},
            "digest": digest,
            "crm.run_id": run_id,
            "crm.files": files,
        }
        same = next((m for m in self.versions() if (m.digest, m.tags["crm.files"]) == (digest, files)), None)
        version = same.version if same else str(len(self._models) + 1)
        made = same.registered_at if same else time.time()
        found = {k: float(v) for k, v in metrics.items()}
        self._models[version] = RegisteredModel(version, digest, run_id, kept, found, made)
        self._files[version] = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        self._challenger = version
        return version

    def promote(self, version: str, expected: str | None) -> bool:
        """Make `version` the champion if the champion still is `expected`; False if it is not.

        Raises:
            ConfigError: no such version.
        """
        if self._champion != expected:
            return False
        self.version(version)
        self._champion = version
        return True

    def champion(self) -> RegisteredModel | None:
        """The version that serves, if one was promoted."""
        return self._models[self._champion] if self._champion else None

    def challenger(self) -> RegisteredModel | None:
        """The version registered last, if any."""
        return self._models[self._challenger] if self._challenger else None

    def versions(self) -> list[RegisteredModel]:
        """Every version, newest first."""
        return sorted(self._models.values(), key=lambda model: int(model.version), reverse=True)

    def version(self, number: str) -> RegisteredModel:
        """The version `number`.

        Raises:
            ConfigError: no such version.
        """
        if number not in self._models:
            known = ", ".join(model.version for model in self.versions()) or "none"
            raise ConfigError(f"model {self.service} has no version {number}", f"choose one of: {known}")
        return self._models[number]

    def tag(self, number: str, name: str, value: str) -> None:
        """Set a tag of the version `number`, cut at 5,000 characters.

        Raises:
            ConfigError: no such version.
        """
        model = self.version(number)
        self._models[number] = replace(model, tags={**model.tags, name: value[:5000]})

    def fetch(self, version: str, into: Path) -> Path:
        """`into`, now holding the files of `version`.

        Raises:
            DataError: the files differ from what was registered; `into` is left as it was.
            ConfigError: no such version.
        """
        model = self.version(version)
        with tempfile.TemporaryDirectory(prefix="crm-fake-") as scratch:
            for name, content in self._files[version].items():
                path = Path(scratch) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            if folder_digest(Path(scratch)) != model.tags["crm.files"]:
                what = f"model {self.service} version {version} is not what was registered"
                raise DataError(what, "leave the fake's files as they are")
            shutil.copytree(scratch, into, dirs_exist_ok=True)
        return into


class FakeTracker:
    """One run in MLflow (`integrations.mlflow.Tracker`): `metrics`, `params`, `tags`, `artefacts` and `status` here."""

    _numbers = itertools.count(1)

    def __init__(self, service: str = "fake", run_id: str = "run") -> None:
        self.uri, self.service, self.run_id = "fake://tracker", service, run_id
        self.mlflow_run_id = f"{next(self._numbers):032x}"
        self.metrics: dict[str, float] = {}
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {"crm.run_id": run_id, "crm.service": service}
        self.artefacts: dict[str, bytes] = {}
        self.datasets: dict[str, str] = {}
        self.status = "RUNNING"

    @contextmanager
    def running(self, context: Context, tags: Mapping[str, str] | None = None) -> Iterator[str]:
        """The run's id, open inside the block: FINISHED after it, KILLED by Ctrl-C, FAILED by any error."""
        run = self.start(context, tags)
        try:
            yield run
        except BaseException as error:
            self.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        self.finish()

    def start(self, context: Context, tags: Mapping[str, str] | None = None) -> str:
        """The run's id, tagged with pipeline, environment and seed."""
        told = {"pipeline": context.pipeline, "env": context.env, "seed": str(context.seed), **(tags or {})}
        self.tags |= {f"crm.{name}": value for name, value in told.items()}
        return self.mlflow_run_id

    def record(self, context: Context) -> None:
        """Store what one step recorded: metrics and params as `<step>.<name>`, artefacts below `<step>/`, data sets."""
        prefix = f"{context.step}." if context.step else ""
        self.metrics |= {prefix + name: value for name, value in context.metrics.items()}
        self.params |= {prefix + name: value[:6000] for name, value in context.params.items()}
        self.datasets |= {name: one.digest[:36] for name, one in context.datasets.items()}
        for path in context.artefacts.values():
            for file in path.rglob("*") if path.is_dir() else [path]:
                if file.is_file():
                    below = file.relative_to(path.parent).as_posix()
                    self.artefacts["/".join(filter(None, (context.step, below)))] = file.read_bytes()

    def keep(self, name: str, value: Mapping[str, Any]) -> None:
        """Store `value` as the JSON artefact `name` of the run."""
        self.artefacts[name] = json.dumps(dict(value)).encode()

    def document(self, name: str) -> dict[str, Any] | None:
        """What `keep` stored as `name`; None where nothing was."""
        return json.loads(self.artefacts[name]) if name in self.artefacts else None

    def lineage(self) -> dict[str, str]:
        """What `start` said of the seed, and `mlflow_run_id`."""
        known = {"seed": self.tags["crm.seed"]} if "crm.seed" in self.tags else {}
        return {**known, "mlflow_run_id": self.mlflow_run_id}

    def finish(self, status: Status = "FINISHED") -> None:
        """Close the run."""
        self.status = status


@contextmanager
def fake_registry(registry: FakeRegistry | None = None) -> Iterator[FakeRegistry]:
    """Steps and commands that ask for the registry inside the block get this one, in this process.

    Args:
        registry: holds what the test put there; None for an empty one.
    """
    found = registry or FakeRegistry()
    with (
        mock.patch("carrental_mlops.integrations.mlflow.registry_for", lambda context: found),
        mock.patch("carrental_mlops.integrations.mlflow_registry.registry_for", lambda context: found),
    ):
        yield found
