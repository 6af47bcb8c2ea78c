"""A repo run under the version of this package that is first on the path: `python -m … ROOT ANSWER.json`.

Its modules imported one by one, its pipelines and services held to their contracts, and each override to the cases
that the default is tested with.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carrental_mlops import __version__
from carrental_mlops.config import load
from carrental_mlops.config.reader import repo_config
from carrental_mlops.core.hook import hooks_of
from carrental_mlops.core.overrides import Override, overrides
from carrental_mlops.core.repo import ModelRepo, open_repo
from carrental_mlops.errors import CrmError

if TYPE_CHECKING:
    from carrental_mlops.testing.hook_inputs import HookInputs


def probe(root: Path) -> dict[str, Any]:
    """What was found, as plain values: `version`, `imports`, `overrides`, and `checks` with their `error`, or none.

    Raises:
        ConfigError: crm.yaml cannot be read.
    """
    section = load(root)
    package = repo_config(section).package
    failed = [wrong for name in _modules(root, package) if (wrong := _import_error(root, name)) is not None]
    told: dict[str, Any] = {"version": __version__, "imports": failed, "overrides": [], "checks": []}
    if not failed:
        repo = open_repo(root)
        found = overrides(repo)
        told["overrides"] = [_plain(repo, override) for override in found]
        told["checks"] = [*_contracts(repo), *_cases(repo, found)]
    return told


def _modules(root: Path, package: str) -> list[str]:
    sys.path.insert(0, str(root / "src"))
    paths = sorted((root / "src" / package).rglob("*.py"))
    names = [path.relative_to(root / "src").with_suffix("").as_posix().replace("/", ".") for path in paths]
    return [name.removesuffix(".__init__") for name in names if not name.endswith(".__main__")]


def _import_error(root: Path, name: str) -> dict[str, str] | None:
    try:
        importlib.import_module(name)
    except Exception as error:
        return {"module": name, "place": _place(root, error), "error": _told(error)}
    return None


def _plain(repo: ModelRepo, override: Override) -> dict[str, str]:
    return {"cls": override.cls, "hook": _hook_of(repo, override), "place": override.place}


def _hook_of(repo: ModelRepo, override: Override) -> str:
    cls = _class(repo, override)
    return f"{hooks_of(cls)[override.hook].owner}.{override.hook}" if cls else override.hook


def _class(repo: ModelRepo, override: Override) -> type | None:
    package = repo.config.package
    modules = [m for name, m in sys.modules.items() if name == package or name.startswith(f"{package}.")]
    known = (getattr(module, override.cls, None) for module in modules)
    return next((cls for cls in known if isinstance(cls, type) and override.hook in hooks_of(cls)), None)


def _contracts(repo: ModelRepo) -> Iterator[dict[str, str]]:
    """Each pipeline, then each service and each set of features that a step names."""
    from carrental_mlops.testing import check_features, check_pipeline, check_service

    steps = []
    for pipeline in repo.pipelines().values():
        steps += list(pipeline.slots().values())
        yield _checked(repo, pipeline, "keeps its contract", partial(check_pipeline, quick=True))
        yield _checked(repo, pipeline, "finds its configuration", repo.step_configs)
    held: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("service", partial(check_service, quick=True)),
        ("feature_set", check_features),
    )
    for attribute, check in held:
        named = dict.fromkeys(cls for step in steps if isinstance(cls := getattr(step, attribute, None), type))
        for cls in named:
            yield _checked(repo, cls, "keeps its contract", check)


def _checked(repo: ModelRepo, cls: type, case: str, check: Callable[[Any], Any]) -> dict[str, str]:
    return {"cls": cls.__name__, "hook": "", "case": case, **_outcome(repo.root, lambda: check(cls))}


def _cases(repo: ModelRepo, found: list[Override]) -> Iterator[dict[str, str]]:
    from carrental_mlops.testing.hook_cases import hook_cases
    from carrental_mlops.testing.hook_inputs import hook_inputs

    given: list[HookInputs] = []
    lacking = _outcome(repo.root, lambda: given.append(hook_inputs(repo)))
    for override in found:
        cls = _class(repo, override)
        owner = made(repo, cls, given[0]) if cls and given else None
        if cls is None or (given and owner is None):
            continue
        for case, hold in hook_cases(cls, override.hook).items():
            named = {"cls": override.cls, "hook": _hook_of(repo, override), "case": case}

            def asked(owner: Any = owner, hold: Callable[..., None] = hold) -> None:
                hold(owner, given[0])

            yield {**named, **(_outcome(repo.root, asked) if given else lacking)}


def made(repo: ModelRepo, cls: type, given: HookInputs) -> Any:
    """An object of `cls` as a run would make it, or None where no pipeline has a configuration for it.

    Args:
        repo: whose pipelines and crm.yaml are asked; the slot of a class that `cls` derives from counts as its own.
        cls: a step, a service or a set of features.
        given: whose model a service answers with.
    """
    from carrental_mlops.core import Step
    from carrental_mlops.serving import ModelService

    if issubclass(cls, ModelService):
        return cls(given.model)
    if not issubclass(cls, Step):
        return cls()
    slots = [(p, slot, used) for p in repo.pipelines().values() for slot, used in p.slots().items()]
    for pipeline, slot, used in sorted(slots, key=lambda found: found[2] is not cls):
        if issubclass(cls, used) or _siblings(cls, used):
            config = repo.step_configs(pipeline)[slot]
            if isinstance(config, cls.config_model()):
                return cls(config, repo.context())
    return None


def _siblings(cls: type, used: type) -> bool:
    """Whether two classes of a repo stand in for the same default step."""
    ours = [{b for b in c.__mro__ if b.__module__.startswith("carrental_mlops.steps")} for c in (cls, used)]
    return bool(ours[0] & ours[1])


def _outcome(root: Path, check: Callable[[], Any]) -> dict[str, str]:
    try:
        check()
    except Exception as error:
        return {"error": _told(error), "place": _place(root, error)}
    return {"error": "", "place": ""}


def _told(error: Exception) -> str:
    return error.what if isinstance(error, CrmError) else f"{type(error).__name__}: {error}"


def _place(root: Path, error: BaseException) -> str:
    """`file:line` of the last frame in the repo, or nothing."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(root):
        return f"{Path(error.filename).relative_to(root)}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(root)]
    return f"{Path(frames[-1].filename).relative_to(root)}:{frames[-1].lineno}" if frames else ""


if __name__ == "__main__":
    answer = probe(Path(sys.argv[1]).resolve())
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")
