"""That a step's cache key is the same in every process, changes with its code, and does not with the code's layout.

The team's package is laid out otherwise, and changed class by class, in copies; a fresh process with another hash
seed (`cache_key_probe`) imports each and tells the keys.
"""

from __future__ import annotations

import ast
import functools
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from carrental_mlops.core import Step
from carrental_mlops.core.fingerprint import reached
from carrental_mlops.core.hook import where
from carrental_mlops.errors import ContractError
from carrental_mlops.integrations.fresh_python import fresh_python
from carrental_mlops.testing.check import Check

Keys = dict[str, dict[str, str]]
"""`module:Class` of a step to what its key covers (`core.fingerprint.reached`)."""
_SDK = "carrental_mlops"
_FURTHER_DOWN = "\n" * 1000
"""So that no line keeps its number."""
_MARK = "_crm_changed = True"


def key_checks(cls: type[Step]) -> list[Check]:
    """What is held of the cache key of a step; nothing of a default step, which this package's own tests hold."""
    if _package(cls) in (_SDK, "__main__") or _home(_package(cls)) is None:
        return []
    held = {
        "has one cache key in every process": _check_stable,
        "keeps its cache key when code is laid out otherwise": _check_layout,
    }
    if any(_methods(base) for base in _chain(cls)):
        held["has another cache key once its code changes"] = _check_change
    return [Check(cls.__name__, name, lambda hold=hold: hold(cls), quick=False) for name, hold in held.items()]  # type: ignore[misc]


def _check_stable(cls: type[Step]) -> None:
    found, now = _keys(cls, "as it is"), reached(cls)
    if found != now:
        what = f"{_at(cls)} has another cache key in another process: {_told_names(_differing(now, found))} differs"
        raise ContractError(what, "what that reads must not depend on time, chance, machine or the order of a set")


def _check_layout(cls: type[Step]) -> None:
    found, before = _keys(cls, "laid out otherwise"), _keys(cls, "as it is")
    always = set(_differing(reached(cls), before))
    moved = [name for name in _differing(before, found) if name not in always]
    if moved:
        what = f"{_at(cls)} has another cache key once its code is laid out otherwise: {_told_names(moved)} differs"
        raise ContractError(what, "read no line numbers, file names or source text of the code")


def _check_change(cls: type[Step]) -> None:
    before = _keys(cls, "as it is")
    for base in _chain(cls):
        if _methods(base) and _keys(cls, f"changed {_name(base)}") == before:
            methods = ", ".join(_methods(base))
            what = f"{_at(cls)} keeps its cache key when {base.__name__}.{methods} ({where(base)}) changes"
            raise ContractError(what, "name what runs in the code itself: no import by text, no exec")


def _keys(cls: type[Step], variant: str) -> dict[str, str]:
    told = _told(_package(cls), _state(_package(cls)))
    if variant not in told:
        raise ContractError(f"{_at(cls)} cannot be imported in a fresh process", "import it at the top of a module")
    found = told[variant]
    if "error" in found:
        raise ContractError(f"{_at(cls)}, {variant}, cannot be imported in a fresh process: {found['error']}",
                            "mend the import; a module may not depend on what was imported before")  # fmt: skip
    keys: Keys = found["keys"]
    if _name(cls) not in keys:
        raise ContractError(f"{_at(cls)} is not in {cls.__module__} in a fresh process", "move it to the top of it")
    return keys[_name(cls)]


@functools.lru_cache(maxsize=8)
def _told(package: str, state: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    """Variant to `keys` or `error`, for every step of `package` that is imported now; asked once for a `state`."""
    steps = [cls for cls in _below(Step) if _package(cls) == package and _importable(cls)]
    bases = list(dict.fromkeys(base for cls in steps for base in _chain(cls) if _methods(base)))
    home = _home(package)
    with tempfile.TemporaryDirectory(prefix="crm-keys-") as scratch:
        folders = {"as it is": str(home.parent) if home else ""}
        for n, (variant, base) in enumerate(
            [("laid out otherwise", None), *((f"changed {_name(b)}", b) for b in bases)]
        ):
            folders[variant] = str(_copied(home, Path(scratch) / str(n), base))
        asked = {"package": package, "folders": folders, "steps": [_name(cls) for cls in steps]}
        done = fresh_python(
            ["-m", "carrental_mlops.testing.cache_key_probe"], json.dumps(asked),
            more={"PYTHONHASHSEED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
    if done.returncode:
        raise ContractError(f"`{package}` cannot be imported in a fresh process: {done.stderr.strip()[-400:]}",
                            "mend the import")  # fmt: skip
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _copied(home: Path | None, folder: Path, changed: type | None) -> Path:
    """`folder`, with the package laid out otherwise, or with the methods of `changed` changed."""
    folder.mkdir()
    if home is None:
        return folder
    target = folder / home.name
    if home.is_dir():
        shutil.copytree(home, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(home, target)
    source = Path(str(sys.modules[changed.__module__].__file__)) if changed else None
    for path in target.rglob("*.py") if target.is_dir() else [target]:
        here = (home / path.relative_to(target)) if home.is_dir() else home
        if changed is None:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            path.write_text(f"# Laid out otherwise.{_FURTHER_DOWN}{ast.unparse(tree)}\n", encoding="utf-8")
        elif source == here:
            path.write_text(_changed(path.read_text(encoding="utf-8"), changed), encoding="utf-8")
    return folder


def _changed(text: str, cls: type) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    method.body.insert(int(ast.get_docstring(method) is not None), ast.parse(_MARK).body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def _state(package: str) -> tuple[tuple[str, int], ...]:
    """The files of the package and when each was written, and how many steps are known: what an answer holds for."""
    home = _home(package)
    files = sorted(home.rglob("*.py")) if home and home.is_dir() else [home] if home else []
    steps = sum(_package(cls) == package for cls in _below(Step))
    return (("steps", steps), *((str(path), path.stat().st_mtime_ns) for path in files))


def _home(package: str) -> Path | None:
    """Folder or file of a top-level package; None where it has none."""
    file = getattr(sys.modules.get(package), "__file__", None)
    if not file:
        return None
    return Path(file).parent if Path(file).name == "__init__.py" else Path(file)


def _below(cls: type) -> list[type]:
    found: list[type] = type.__subclasses__(cls)
    return [inner for one in found for inner in (one, *_below(one))]


def _importable(cls: type) -> bool:
    return getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is cls


def _chain(cls: type) -> list[type]:
    """The classes of the team's package that `cls` is made of."""
    return [base for base in cls.__mro__ if _package(base) == _package(cls)]


def _methods(cls: type) -> list[str]:
    return [name for name, value in vars(cls).items() if hasattr(value, "__code__") and not name.startswith("__")]


def _package(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _at(cls: type) -> str:
    return f"`{cls.__name__}` ({where(cls)})"


def _differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]


def _told_names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:3])
