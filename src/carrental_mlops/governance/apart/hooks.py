"""A repo's hooks and pipelines, imported and held to their contracts; run by `process.py` in another process."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from carrental_mlops.core.hook import where
from carrental_mlops.core.overrides import overrides
from carrental_mlops.core.repo import ModelRepo, open_repo
from carrental_mlops.core.step import Step
from carrental_mlops.core.wiring import trace
from carrental_mlops.errors import ConfigError, CrmError, OverrideError, WiringError
from carrental_mlops.governance.rule import Code
from carrental_mlops.governance.rules.hooks import FEATURES, NOT_IMPORTED, NOT_WIRED, SERVICE, SETTING, STEP, UNUSED
from carrental_mlops.testing import check_features, check_service, check_step

_PLACE = re.compile(r"((?:/|config/|src/|tests/)[\w./+-]+\.(?:py|yaml)):(\d+)")


def look(root: Path) -> list[dict[str, Any]]:
    """Code, what, mend, path and line of everything that breaks a contract; each once."""
    found = list(_look(root))
    return [one for n, one in enumerate(found) if one not in found[:n]]


def _look(root: Path) -> Iterator[dict[str, Any]]:
    try:
        repo = open_repo(root)
    except ConfigError:
        return  # family 1 says it
    try:
        pipelines = repo.pipelines()
    except WiringError as error:
        yield _told(NOT_WIRED, root, error.what, error.fix)
    except OverrideError as error:
        yield _told(STEP, root, error.what, error.fix)
    except CrmError as error:
        yield _told(NOT_IMPORTED, root, error.what, error.fix)
    except Exception as error:  # whatever the repo's own code raises at import
        yield _raised(NOT_IMPORTED, root, error)
    else:
        yield from _settings(repo)
        yield from _contracts(repo, pipelines)


def _settings(repo: ModelRepo) -> Iterator[dict[str, Any]]:
    for env in repo.config.environments:
        try:
            opened = open_repo(repo.root, env)
        except ConfigError:
            continue  # family 1 says it
        for pipeline in opened.pipelines().values():
            try:
                opened.step_configs(pipeline)
            except CrmError as error:
                for line in error.what.splitlines():
                    yield _told(SETTING, repo.root, line, error.fix)


def _contracts(repo: ModelRepo, pipelines: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of the repo's own classes, and what their rules take; default steps are held by the package's tests."""
    package = repo.config.package
    steps = {step: None for pipeline in pipelines.values() for step in pipeline.slots().values()}
    own = [step for step in steps if step.__module__.partition(".")[0] == package]
    named = [getattr(step, name, None) for name in ("service", "feature_set") for step in steps]
    services = {one: None for one in named if isinstance(one, type) and hasattr(one, "answer")}
    sets = {one: None for one in named if isinstance(one, type) and hasattr(one, "references")}
    for step in own:
        yield from _held(repo, STEP, partial(check_step, quick=True), step)
    for pipeline in pipelines.values():
        yield from _held(repo, NOT_WIRED, trace, pipeline)
    bad = [one for features in sets for one in _held(repo, FEATURES, check_features, features)]
    yield from bad
    for service in services:
        if not bad or getattr(service, "feature_set", None) not in sets:
            yield from _held(repo, SERVICE, partial(check_service, quick=True), service)
    yield from _unused(repo)


def _held(repo: ModelRepo, code: Code, hold: Callable[[Any], object], thing: type) -> Iterator[dict[str, Any]]:
    try:
        hold(thing)
    except CrmError as error:
        yield _told(code, repo.root, error.what, error.fix, where(thing))
    except Exception as error:  # whatever the hook raises
        yield _raised(code, repo.root, error, where(thing))


def _unused(repo: ModelRepo) -> Iterator[dict[str, Any]]:
    classes = {cls.__name__: cls for cls in _steps(Step)}
    used = {step for pipeline in repo.pipelines().values() for step in pipeline.slots().values()}
    for one in overrides(repo):
        cls = classes.get(one.cls)
        if cls is not None and not any(issubclass(step, cls) for step in used):
            what = f"`{one.cls}.{one.hook}` overrides a hook, but no pipeline runs `{one.cls}`"
            yield _told(UNUSED, repo.root, what, f"put it into a slot of pipelines.py: step({one.cls})", one.place)


def _steps(cls: type) -> Iterator[type]:
    below: list[type[Any]] = type.__subclasses__(cls)
    for inner in below:
        yield inner
        yield from _steps(inner)


def _raised(code: Code, root: Path, error: Exception, at: str = "") -> dict[str, Any]:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(root / "src")]
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else at
    return _told(code, root, f"{type(error).__name__}: {error}", "mend it there; make test shows all of it", place)


def _told(code: Code, root: Path, what: str, mend: str, at: str = "") -> dict[str, Any]:
    """Plain values; the place is the first of `what` that lies in the repo, else `at`."""
    path: str | None = None
    line: int | None = None
    for file, number in (*_PLACE.findall(what), *_PLACE.findall(at)):
        full = Path(file) if Path(file).is_absolute() else root / file
        if full.is_relative_to(root) and full.is_file():
            path, line = full.relative_to(root).as_posix(), int(number)
            break
    said = what.replace(f"{root}/", "")
    return {"code": code.number, "what": said, "mend": mend, "path": path, "line": line}
