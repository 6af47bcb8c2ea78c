"""Every check of a repo or of some classes, by name: `@pytest.mark.parametrize("check", checks(ROOT), ids=str)`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from carrental_mlops.core import Pipeline, Step
from carrental_mlops.core.hook import where
from carrental_mlops.core.repo import ModelRepo, open_repo
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.errors import ConfigError, ContractError
from carrental_mlops.serving import ModelService
from carrental_mlops.testing.check import Check
from carrental_mlops.testing.features import feature_checks
from carrental_mlops.testing.service import service_checks
from carrental_mlops.testing.steps import hold_kept, pipeline_checks, step_checks


def checks(*things: Path | type[Any]) -> list[Check]:
    """What is held of each of `things`, each check once; none of them runs before it is called.

    Args:
        things: a model repo's folder, for all that its pipelines name, in every environment; or a Step, a Pipeline, a
            FeatureSet or a ModelService.

    Raises:
        ConfigError: a thing is none of these.
        CrmError: the repo cannot be read, or its pipelines cannot be imported.
    """
    return list(_once(check for thing in things for check in _of(thing)))


def _of(thing: Path | type[Any]) -> Iterable[Check]:
    if isinstance(thing, Path):
        return _of_repo(open_repo(thing))
    if isinstance(thing, type):
        kinds: dict[type, Callable[[Any], list[Check]]] = {
            Step: step_checks,
            Pipeline: pipeline_checks,
            FeatureSet: feature_checks,
            ModelService: service_checks,
        }
        for kind, found in kinds.items():
            if issubclass(thing, kind):
                return found(thing)
    shown = getattr(thing, "__name__", repr(thing))
    raise ConfigError(
        f"checks({shown}) names nothing to check", "pass a repo's Path, or a Step, Pipeline, FeatureSet or ModelService"
    )


def _once(found: Iterable[Check]) -> Iterator[Check]:
    seen: set[str] = set()
    for check in found:
        if str(check) not in seen:
            seen.add(str(check))
            yield check


def _of_repo(repo: ModelRepo) -> Iterator[Check]:
    pipelines, label = repo.pipelines(), repo.config.columns.label
    for env in repo.config.environments:
        yield Check(f"crm.yaml in {env}", "gives every step its settings", partial(_check_settings, repo.root, env))
    for pipeline in pipelines.values():
        yield from pipeline_checks(pipeline)
    for features in named(repo, "feature_set"):
        yield from feature_checks(features)
    services = named(repo, "service")
    for service in services:
        yield from service_checks(service, label=label)
    yield Check(repo.config.package, "holds rows and requests to one schema", partial(_check_one, repo, "schema"))
    yield Check(repo.config.package, "has one set of features", partial(_check_one, repo, "feature_set"))
    if (repo.root / "src" / repo.config.package / "feature_views.py").is_file():
        yield Check(repo.config.package, "has a view of each stored feature", partial(_check_views, repo))


def named(repo: ModelRepo, attribute: str) -> list[Any]:
    """What the steps of all pipelines name, such as their `feature_set`, each once."""
    steps = (step for pipeline in repo.pipelines().values() for step in pipeline.slots().values())
    return list(dict.fromkeys(value for step in steps if (value := getattr(step, attribute, None)) is not None))


def _check_settings(root: Path, env: str) -> None:
    repo = open_repo(root, env)
    for pipeline in repo.pipelines().values():
        for slot, config in repo.step_configs(pipeline).items():
            hold_kept(config, f"`{pipeline.__name__}.{slot}` in {env} ({where(pipeline.slots()[slot])})")


def _check_one(repo: ModelRepo, attribute: str) -> None:
    """One schema, or one set of features, for the steps and for the services that they name."""
    found = {value: "a step" for value in named(repo, attribute)}
    for service in named(repo, "service"):
        if (value := getattr(service, attribute, None)) is not None:
            found.setdefault(value, service.__name__)
    if len(found) > 1:
        said = " and ".join(f"{value.__name__} ({where(value)}) by {who}" for value, who in found.items())
        what = f"`{repo.config.package}` names {len(found)} of `{attribute}`: {said}"
        raise ContractError(what, f"name one `{attribute}` in pipelines.py and service.py")


def _check_views(repo: ModelRepo) -> None:
    module = importlib.import_module(f"{repo.config.package}.feature_views")
    there = {view.name for view in module.VIEWS}
    for features in named(repo, "feature_set"):
        missing = sorted({reference.partition(":")[0] for reference in features.references()} - there)
        if missing:
            at = f"`{features.__name__}` ({where(features)})"
            what = f"{at} reads the view `{missing[0]}`, which {module.__file__} does not list in VIEWS"
            raise ContractError(what, f"add it to VIEWS, there are: {', '.join(sorted(there)) or 'none'}")
