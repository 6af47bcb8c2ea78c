"""A copy of a repo and an environment with a newer version first on the path, and what is run in them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from xml.etree import ElementTree

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.scaffold.versions import PACKAGE, Material

_EXTRA = "pipelines"
"""What a repo's training environment has of the package's extras."""
_IGNORED = shutil.ignore_patterns(".git", ".crm", ".venv", "__pycache__", "node_modules", ".mypy_cache", ".ruff_cache")
_LIST = """
import json, platform, sys
from importlib import metadata
found = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]}
print(json.dumps({"python_version": platform.python_version().rpartition(".")[0], "found": found}))
"""


@dataclass(frozen=True)
class Trial:
    """Where a newer version is tried."""

    folder: Path
    """Thrown away by whoever made it."""
    repo: Path
    """The copy."""
    python: Path
    environment: str
    """In words."""
    ends: float
    """On the monotonic clock (s)."""

    def run(self, *words: str) -> tuple[int | None, str]:
        """Exit code (None: killed at the limit) and output of this environment's Python, run in the copy."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k != "VIRTUAL_ENV"}
        path = os.pathsep.join((str(self.folder / "version"), str(self.repo / "src")))
        env = {**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
        return run_limited([str(self.python), *words], self.repo, env, self.ends, self.folder / "output")


def prepared(root: Path, new: Material, folder: Path, limit_s: float) -> Trial:
    """The repo copied, and the packages it runs with found: its own where they are what the version needs.

    Raises:
        ConfigError: a fresh environment is needed, and uv is missing.
        PlatformError: it cannot be made, or the limit is over.
    """
    ends = time.monotonic() + limit_s
    repo = folder / "repo"
    _copy(root, repo)
    version = folder / "version"
    version.mkdir()
    (version / PACKAGE).symlink_to(new.package, target_is_directory=True)
    metadata = _metadata(new)
    if metadata is not None:
        (version / metadata.parent.name).symlink_to(metadata.parent, target_is_directory=True)
    own = root / ".venv" / "bin" / "python"
    python, named = (own, "the repo's .venv") if own.exists() else (Path(sys.executable), "the environment of crm")
    lacking = _lacking(python, metadata, folder, ends) if metadata is not None else []
    if not lacking:
        return Trial(folder, repo, python, f"{named} with {new.version} first on the path", ends)
    made = _fresh(new, folder, ends)
    return Trial(folder, repo, made, f"a fresh environment, since {named} lacks {', '.join(lacking)}", ends)


def run_limited(
    command: list[str], cwd: Path, env: dict[str, str], ends: float, output: Path
) -> tuple[int | None, str]:
    """Exit code (None: killed, with its children, at `ends` of the monotonic clock) and what the command said."""
    with output.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - a Python or uv and words of ours
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
        try:
            code: int | None = process.wait(max(ends - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return code, output.read_text(encoding="utf-8", errors="replace")


def junit_results(path: Path) -> Iterator[tuple[str, str, str]]:
    """Name, `file:line` where pytest says it, and error (empty: passed) of each test that ran, not of skipped ones."""
    for case in ElementTree.parse(path).iter("testcase"):  # noqa: S314 - written by pytest a moment ago
        wrong = next((part for kind in ("failure", "error") if (part := case.find(kind)) is not None), None)
        if case.find("skipped") is None:
            module = (case.get("classname") or "").replace(".", "/")
            error = (wrong.get("message") or (wrong.text or "").strip()[-300:]) if wrong is not None else ""
            yield f"{module}.py::{case.get('name')}", _line(wrong), " ".join(error.split())[:500]


def _line(wrong: ElementTree.Element | None) -> str:
    """`tests/test_a.py:3` of the last line of pytest's text that names a place in the repo."""
    lines = (wrong.text or "").splitlines() if wrong is not None else []
    places = [line.split(": ")[0] for line in lines if ".py:" in line and not line.startswith((" ", "/", "E"))]
    return places[-1].rstrip(":") if places else ""


def _copy(root: Path, repo: Path) -> None:
    git = shutil.which("git")
    words = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = (
        subprocess.run([git, *words], cwd=root, capture_output=True, check=False)  # noqa: S603 - fixed words
        if git and (root / ".git").exists()
        else None
    )
    if listed is None or listed.returncode:
        shutil.copytree(root, repo, symlinks=True, ignore=_IGNORED)
        return
    for name in filter(None, listed.stdout.split(b"\0")):
        source, target = root / os.fsdecode(name), repo / os.fsdecode(name)
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def _metadata(new: Material) -> Path | None:
    known = sorted(new.root.glob(f"{PACKAGE}-*.dist-info/METADATA"))
    return next((path for path in known if path.parent.name == f"{PACKAGE}-{new.version}.dist-info"), None)


def _lacking(python: Path, metadata: Path, folder: Path, ends: float) -> list[str]:
    """What the version needs for training and an environment does not have, as `pandas>=3 (has 2.3.3)`."""
    try:
        from packaging.requirements import Requirement
        from packaging.utils import canonicalize_name
    except ImportError:
        return []
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    code, said = run_limited([str(python), "-c", _LIST], folder, env, ends, folder / "output")
    if code != 0:
        raise PlatformError(f"{python} cannot list its packages: {said.strip()[-300:]}", "make setup")
    told = json.loads(said.strip().splitlines()[-1])
    has = {canonicalize_name(name): version for name, version in told["found"].items()}
    lacking = []
    head = HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))
    for text in head.get_all("Requires-Dist") or []:
        wanted = Requirement(text)
        marker = {"python_version": told["python_version"], "python_full_version": f"{told['python_version']}.0"}
        if wanted.marker is not None and not any(wanted.marker.evaluate({**marker, "extra": e}) for e in ("", _EXTRA)):
            continue
        found = has.get(canonicalize_name(wanted.name))
        if found is None or not wanted.specifier.contains(found, prereleases=True):
            lacking.append(f"{wanted.name}{wanted.specifier} ({f'has {found}' if found else 'missing'})")
    return lacking


def _fresh(new: Material, folder: Path, ends: float) -> Path:
    uv = shutil.which("uv") or next((str(p) for p in [Path(sys.executable).with_name("uv")] if p.is_file()), None)
    if uv is None:
        raise ConfigError(
            "a fresh environment for the newer version needs uv, which is not on the PATH", "pip install uv"
        )
    made, pins = folder / "environment", new.assets / "requirements" / "repo.txt"
    python = made / "bin" / "python"
    for command in (
        [uv, "venv", "--quiet", "--python", f"{sys.version_info.major}.{sys.version_info.minor}", str(made)],
        [uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(pins)],
    ):
        code, said = run_limited(command, folder, dict(os.environ), ends, folder / "output")
        if code != 0:
            why = said.strip()[-600:] if code is not None else "the time limit is over"
            raise PlatformError(f"no environment for {new.version}: {why}", "try again, with a longer limit", True)
    return python
