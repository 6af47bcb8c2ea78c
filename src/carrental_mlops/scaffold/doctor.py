"""What a machine or a repo lacks, and the command that mends it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from carrental_mlops.config.repo import find_repo
from carrental_mlops.errors import CrmError

_EXTRAS = {
    "pipelines": ("zenml", "mlflow", "feast", "lightgbm", "pandas"),
    "serving": ("uvicorn", "orjson", "prometheus_client"),
}


@dataclass(frozen=True)
class Examined:
    """One thing looked at."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    """A command or an edit; empty where all is well."""
    needed: bool = True
    """False for what only some work needs."""


def examine(start: Path | None = None) -> list[Examined]:
    """Everything that `crm doctor` looks at, in order; never raises for what it finds."""
    return [_python(), *_tools(), *_extras(), *_repo(start)]


def _python() -> Examined:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Examined("python", ok, version, "" if ok else "uv python install 3.11")


def _tools() -> Iterator[Examined]:
    fixes = {"git": "apt-get install git, or: brew install git", "uv": "python -m pip install uv"}
    for tool, fix in fixes.items():
        path = shutil.which(tool)
        if path is None:
            yield Examined(tool, False, "not on PATH", fix)
            continue
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - a tool on PATH
        ok = done.returncode == 0
        yield Examined(tool, ok, (done.stdout or done.stderr).strip(), "" if ok else fix)


def _extras() -> Iterator[Examined]:
    for extra, modules in _EXTRAS.items():
        missing = [m for m in modules if find_spec(m) is None]
        found = f"lacks {', '.join(missing)}" if missing else "installed"
        fix = f"uv pip install 'carrental-mlops[{extra}]'" if missing else ""
        yield Examined(f"extra {extra}", not missing, found, fix, needed=extra == "pipelines")


def _repo(start: Path | None) -> Iterator[Examined]:
    try:
        root = find_repo(start)
    except CrmError as error:
        what, fix = error.args[:2]
        yield Examined("repo", False, what, fix, needed=False)
        return
    yield Examined("repo", True, str(root))
    yield _config(root)
    yield from _state(root)


def _config(root: Path) -> Examined:
    from carrental_mlops.core.repo import open_repo

    try:
        repo = open_repo(root)
        found = repo.pipelines()
        for pipeline in found.values():
            repo.step_configs(pipeline)
    except CrmError as error:
        what, fix = error.args[:2]
        return Examined("config", False, what, fix)
    return Examined("config", True, f"holds for {', '.join(found)}")


def _state(root: Path) -> Iterator[Examined]:
    state = root / ".crm"
    place = state if state.exists() else root
    writable = os.access(place, os.W_OK)
    fix = "" if writable else f"chmod -R u+w {place}"
    yield Examined("state", writable, f"{place} {'can' if writable else 'cannot'} be written", fix)
    moved = {text for marker in state.rglob("*.at") if (text := marker.read_text(encoding="utf-8").strip())}
    away = sorted(place for place in moved if not Path(place).is_relative_to(root))
    if away:
        yield Examined("place", True, f"the repo was moved from {away[0]}; the next `crm run` lets its stores follow")
