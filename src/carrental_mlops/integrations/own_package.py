"""This very package as a wheel, for an environment elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

from carrental_mlops.errors import ConfigError, PlatformError


def wheel_into(folder: Path) -> Path | None:
    """The wheel that `crm` runs from, in `folder`; None where an index has it.

    A checkout is built anew, with fixed times, so that the same code gives the same bytes.

    Raises:
        ConfigError: a checkout, but no uv to build it.
        PlatformError: the build failed.
    """
    origin = json.loads(metadata.distribution("carrental-mlops").read_text("direct_url.json") or "{}").get("url", "")
    source = Path(unquote(urlparse(origin).path))
    if not origin.startswith("file:") or not source.exists():
        return None
    if source.is_file():
        return Path(shutil.copy(source, folder))
    command = [_uv(), "build", "--wheel", "--quiet", "--out-dir", str(folder), str(source)]
    env = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}  # 1980, the first date that a zip file can hold
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    if done.returncode:
        raise PlatformError(f"the wheel of {source} cannot be built:\n{done.stderr.strip()}", "make build", True)
    (folder / ".gitignore").unlink(missing_ok=True)
    return next(folder.glob("*.whl"))


def install_alone(version: str, folder: Path, package: str = "carrental-mlops") -> None:
    """A released version of a package in `folder`, as its wheel unpacks and without its dependencies, from uv's index.

    Raises:
        ConfigError: the index has no such version, or there is no uv.
        PlatformError: the index does not answer (retryable).
    """
    wanted = f"{package}=={version}"
    command = [_uv(), "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--python", sys.executable]
    done = subprocess.run(  # noqa: S603 - fixed words and a version
        [*command, "--target", str(folder), wanted], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    said = done.stderr.strip()
    if "no version of" in said or "not found in the package registry" in said or "No solution" in said:
        raise ConfigError(
            f"the index has no {wanted}:\n{said}",
            "name a released version with --to, or put its wheel into a folder and set CRM_WHEELS to it",
        )
    raise PlatformError(f"{wanted} cannot be fetched:\n{said}", "mend what uv says, or set CRM_WHEELS", True)


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    uv = os.environ.get("CRM_UV") or shutil.which("uv") or (str(beside) if beside.is_file() else None)
    if uv is None:
        raise ConfigError("uv, which fetches and builds this package, is not on PATH", "pip install uv")
    return uv
