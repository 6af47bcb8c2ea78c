"""What a cluster lets pass of an inference graph, and the nodes' classes and settings.

A SeldonDeployment with an unknown node type is accepted, and so is a router with one child or a model with two, of
whose answers Seldon's executor gives the first. Here each is an error with its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carrental_mlops.config import RepoConfig, load
from carrental_mlops.config.reader import repo_config
from carrental_mlops.errors import ConfigError, nearest

if TYPE_CHECKING:
    from carrental_mlops.serving.nodes import Node

TYPES = ("MODEL", "TRANSFORMER", "OUTPUT_TRANSFORMER", "COMBINER", "ROUTER")
"""Of Seldon's predictive units, those that do something."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_FAN_OUT = ("COMBINER", "ROUTER")


def check_manifests(manifests: Iterable[Mapping[str, Any]]) -> int:
    """Hold the graph of each SeldonDeployment among rendered manifests to `check_graph`.

    Returns:
        How many graphs were held.

    Raises:
        ConfigError: as `check_graph`, and where a node of the graph has no container.
    """
    held = 0
    for manifest in manifests:
        if not manifest or manifest.get("kind") != "SeldonDeployment":
            continue
        of = f"SeldonDeployment {manifest.get('metadata', {}).get('name')}"
        for predictor in manifest.get("spec", {}).get("predictors", ()):
            place = f"{of}, predictor {predictor.get('name')}"
            names = check_graph(predictor.get("graph"), f"{place}: graph")
            pods = (part.get("spec", {}).get("containers", ()) for part in predictor.get("componentSpecs", ()))
            there = {container.get("name") for containers in pods for container in containers}
            if missing := [name for name in names if name not in there]:
                raise ConfigError(f"{place}: node `{missing[0]}` has no container", f"add one named `{missing[0]}`")
            held += 1
    return held


def check_graph(graph: Any, place: str = "graph") -> tuple[str, ...]:
    """Hold a graph of Seldon's (nested nodes with `name`, `type`, `children`) to what its executor can run.

    Args:
        graph: the outermost node.
        place: of it, for the message.

    Returns:
        The names, outermost first.

    Raises:
        ConfigError: at the node that is wrong, with the mend.
    """
    names: list[str] = []
    _check_unit(graph, place, (), names)
    return tuple(names)


def _check_unit(unit: Any, place: str, above: tuple[str, ...], names: list[str]) -> None:
    if not isinstance(unit, Mapping):
        raise ConfigError(f"{place} is {unit!r}", "write a node: name, type, children")
    name, kind = unit.get("name"), unit.get("type")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{place}: the name is {name!r}", "use lower-case letters, digits and -, at most 63")
    here = f"{place}, node `{name}`"
    if name in above:
        way = " -> ".join((*above, name))
        raise ConfigError(f"{here}: the graph runs in a circle: {way}", f"take `{name}` out of what lies behind it")
    if name in names:
        raise ConfigError(f"{here}: the name is there twice", "give each node a name of its own")
    if kind not in TYPES:
        raise ConfigError(f"{here}: unknown type {kind!r}; a cluster accepts it", nearest(str(kind), TYPES))
    names.append(name)
    children = unit.get("children") or ()
    _check_children(here, kind, len(children))
    for number, child in enumerate(children):
        _check_unit(child, f"{place}.children[{number}]", (*above, name), names)


def _check_children(here: str, kind: str, count: int) -> None:
    if kind == "COMBINER" and count < 1:
        raise ConfigError(f"{here}: a combiner without children has nothing to combine", "put its models behind it")
    if kind == "ROUTER" and count < 2:
        raise ConfigError(f"{here}: a router with {count} children has no choice", "put two or more models behind it")
    if kind == "TRANSFORMER" and count < 1:
        raise ConfigError(f"{here}: nothing is behind the transformer", "put the model behind it")
    if kind not in _FAN_OUT and count > 1:
        what = f"{here}: a {kind} with {count} children: all are asked, and the first one's answer is given"
        raise ConfigError(what, "put a combiner or a router before them")


def check_nodes(root: Path, env: str | None = None, sets: tuple[str, ...] = ()) -> RepoConfig:
    """Hold the classes and settings of `deploy.nodes` to what they are used for.

    Args:
        root: of the model repo; a class may be its own.
        env: environment overlay; None for the first.
        sets: `key=value` pairs that go before the file's.

    Returns:
        The configuration that was held.

    Raises:
        ConfigError: at the node of crm.yaml, with the mend.
    """
    section = load(root, env, sets)
    config = repo_config(section)
    if not config.deploy.nodes:
        return config
    from carrental_mlops.serving.nodes.opening import class_of, place_of, settings_of

    taken: dict[str, str] = {config.service: "the service"}
    classes: list[type[Node]] = []
    for number, named in enumerate(config.deploy.nodes):
        place = place_of(section, number)
        if named.name in taken:
            what = f"{place}: the name `{named.name}` is there twice, at {taken[named.name]} too"
            raise ConfigError(what, "give each node a name of its own, other than the service's")
        taken[named.name] = place
        classes.append(class_of(root, named, place))
    models = 1 + sum(node.kind == "model" for node in config.deploy.nodes)
    for named, found in zip(config.deploy.nodes, classes, strict=True):
        settings = settings_of(found, named, taken[named.name])
        if named.kind in _HOLDS:
            _HOLDS[named.kind](settings, models, taken[named.name])
        _hold_features(config, found, settings, any(map(_adds_features, classes)), taken[named.name])
    return config


def _adds_features(found: type[Node]) -> bool:
    from carrental_mlops.serving.nodes import FeatureTransformer

    return issubclass(found, FeatureTransformer)


def _hold_features(config: RepoConfig, found: type[Node], settings: Any, transformed: bool, place: str) -> None:
    """Stored features are read once: by the transformer, and by an explainer, which no transformer stands before."""
    from carrental_mlops.serving.nodes import ShapExplainer

    if _adds_features(found) and config.serving.features.source != "request":
        what = f"{place}: behind the transformer, the model would read stored features itself"
        raise ConfigError(what, "set serving.features.source: request, so that it takes those of the transformer")
    if issubclass(found, ShapExplainer) and transformed and settings.source is None:
        what = f"{place}: the transformer reads the stored features, and the explainer would explain without them"
        raise ConfigError(what, "settings: {source: store}")


def _hold_router(settings: Any, models: int, place: str) -> None:
    if settings.children != models:
        what = f"{place}: `children` is {settings.children}, the graph has {models} models behind the router"
        raise ConfigError(what, f"children: {models}, or change the nodes with `kind: model`")
    routes: dict[str, int] = settings.table() if hasattr(settings, "table") else {}
    for value, child in {**routes, "default": getattr(settings, "default", 0)}.items():
        if child >= models:
            raise ConfigError(f"{place}: `{value}` goes to child {child}", f"children are 0 to {models - 1}")


def _hold_combiner(settings: Any, models: int, place: str) -> None:
    found = len(settings.weights.split(",")) if hasattr(settings, "weights") else models
    if found != models:
        raise ConfigError(f"{place}: {found} weights for {models} models", "one for each, the service's own first")


_HOLDS: Mapping[str, Callable[[Any, int, str], None]] = {"router": _hold_router, "combiner": _hold_combiner}
