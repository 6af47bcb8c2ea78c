"""From the registry to a process that answers: the champion's bundle, the service's own environment, the command."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

from carrental_mlops.assets import asset_dir
from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.errors import ConfigError, DataError, PlatformError
from carrental_mlops.files import file_digest, locked, whole_file
from carrental_mlops.serving.endpoint import Identity
from carrental_mlops.serving.load import Bundle

ONLINE_MANIFEST = Path(".crm") / "feast" / "online.json"
"""How the online store is read; written by the features pipeline, relative to the repo."""
_REQUIREMENTS = "serving.txt"
_STAMP = ".synced"


def make_bundle(repo: ModelRepo, version: str | None = None) -> Bundle:
    """The bundle of a registered model, fetched and checked by digest; what was fetched before is used again.

    Args:
        repo: whose registry is asked.
        version: of the model; None for the champion.

    Raises:
        ConfigError: there is no champion, or no such version.
        DataError: the files are not what was registered.
        PlatformError: the registry does not answer; the mend names the bundles that were fetched before.
    """
    fetched = repo.root / ".crm" / "serving"
    try:
        return _fetched(repo, version, fetched)
    except PlatformError as error:
        last = max(fetched.glob("*/bundle.json"), key=lambda path: path.stat().st_mtime, default=None)
        if last is None:
            raise
        again = f"crm serve --bundle {last.parent.relative_to(repo.root)}, the last one that was fetched"
        raise PlatformError(error.what, f"{error.fix}; or {again}", error.retryable) from error


def node_bundles(repo: ModelRepo) -> dict[str, Bundle]:
    """Models of further nodes of the graph that `deploy.nodes` names by version, by folder below the service's bundle.

    Raises:
        ConfigError: there is no such version.
        DataError: the files are not what was registered.
        PlatformError: the registry does not answer.
    """
    from carrental_mlops.serving.nodes.models import baked

    found = {}
    for folder, (version, name) in (pair for node in repo.config.deploy.nodes for pair in baked(node).items()):
        bundle = make_bundle(repo, version)
        found[folder] = replace(bundle, identity=replace(bundle.identity, name=name or bundle.identity.name))
    return found


def bundle_at(repo: ModelRepo, folder: Path) -> Bundle:
    """The bundle in `folder`; no registry is asked.

    Raises:
        DataError: there is none, or it is another service's.
    """
    bundle = Bundle.read(folder.resolve())
    if bundle.identity.name != repo.config.service:
        raise DataError(
            f"{folder} holds the model of {bundle.identity.name}, this repo's service is {repo.config.service}",
            "name a folder below .crm/serving of this repo",
        )
    return bundle


def _fetched(repo: ModelRepo, version: str | None, into: Path) -> Bundle:
    from carrental_mlops.integrations.mlflow_registry import registry_for

    registry = registry_for(repo.context())
    if version is None:
        champion = registry.champion()
        if champion is None:
            raise ConfigError(f"{repo.config.service} has no champion to serve", "crm run training")
        model = champion
    else:
        known = {model.version: model for model in registry.versions()}
        if version not in known:
            raise ConfigError(
                f"model {repo.config.service} has no version {version}", f"choose one of: {', '.join(known) or 'none'}"
            )
        model = known[version]
    folder = into / f"{model.version}-{model.digest[:12]}"
    if not _whole(folder, model.digest):
        registry.fetch(model.version, folder)
    identity = Identity(repo.config.service, model.version, model.digest, model.registered_at)
    bundle = Bundle(folder, identity, _online(repo.root))
    bundle.write()
    return bundle


def _whole(folder: Path, digest: str) -> bool:
    """Whether `folder` holds every byte of the model that `digest` names."""
    manifest = folder / "model.json"
    try:
        if file_digest(manifest) != digest:
            return False
        return all(
            file_digest(folder / name) == said for name, said in json.loads(manifest.read_text())["files"].items()
        )
    except FileNotFoundError:
        return False


def _online(root: Path) -> dict[str, object] | None:
    manifest = root / ONLINE_MANIFEST
    return json.loads(manifest.read_text()) if manifest.is_file() else None


def environment(root: Path) -> Path:
    """The Python of the service's own environment, `.venvs/serving` of the repo; made or brought up to date.

    It holds what `requirements/serving.txt` names, by hash, and this package without its dependencies.

    Raises:
        ConfigError: uv is not there.
        PlatformError: uv failed.
    """
    folder = root / ".venvs" / "serving"
    with locked(folder.with_name("serving.lock"), timeout_s=600):
        return _synced(root, folder)


def _synced(root: Path, folder: Path) -> Path:
    wanted = root / "requirements" / _REQUIREMENTS
    requirements = wanted if wanted.is_file() else asset_dir("requirements") / _REQUIREMENTS
    package, recorded = _package()
    python, stamp = folder / "bin" / "python", folder / _STAMP
    state = hashlib.sha256(
        requirements.read_bytes() + " ".join(package).encode() + recorded.encode() + sys.version.encode()
    ).hexdigest()
    if python.is_file() and stamp.is_file() and stamp.read_text() == state:
        return python
    uv = _uv()
    _run(uv, "venv", "--clear", "--python", sys.executable, "--no-python-downloads", str(folder))
    _run(uv, "pip", "sync", "--python", str(python), "--require-hashes", str(requirements))
    _run(uv, "pip", "install", "--python", str(python), "--no-deps", *package)
    with whole_file(stamp) as draft:
        draft.write_text(state)
    return python


def command(python: Path, repo: ModelRepo, bundle: Bundle, env: str | None, sets: tuple[str, ...]) -> list[str]:
    """What runs the service."""
    options = [text for pair in sets for text in ("--set", pair)] + (["--env", env] if env else [])
    module = "carrental_mlops.serving.server"
    return [str(python), "-m", module, "--repo", str(repo.root), "--bundle", str(bundle.folder), *options]


def _package() -> tuple[list[str], str]:
    """How uv installs this very package (the checkout or wheel that it came from, else its version); its files."""
    distribution = metadata.distribution("carrental-mlops")
    recorded = distribution.read_text("RECORD") or ""
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("url", "").startswith("file:"):
        path = unquote(urlparse(origin["url"]).path)
        if Path(path).exists():
            editable = origin.get("dir_info", {}).get("editable")
            return (["--editable", path] if editable else ["--reinstall", path]), recorded
    return [f"carrental-mlops=={distribution.version}"], recorded


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = os.environ.get("CRM_UV") or shutil.which("uv") or (str(beside) if beside.is_file() else None)
    if found is None:
        raise ConfigError("uv, which makes the service's environment, is not on PATH", "pip install uv, or set CRM_UV")
    return found


def _run(*arguments: str) -> None:
    quiet = {**os.environ, "VIRTUAL_ENV": ""}
    done = subprocess.run([arguments[0], *arguments[1:], "--quiet"], env=quiet, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise PlatformError(
            f"`{Path(arguments[0]).name} {' '.join(arguments[1:])}` failed:\n{done.stderr.strip()}",
            "check the package index, then: crm serve",
            True,
        )
