"""From `deploy.nodes` of crm.yaml to the node that it names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from carrental_mlops.config import load
from carrental_mlops.config.deploy import Node as Named
from carrental_mlops.config.reader import Section, repo_config
from carrental_mlops.errors import ConfigError, nearest
from carrental_mlops.serving.auth import door_of
from carrental_mlops.serving.nodes.app import NodeApp
from carrental_mlops.serving.nodes.base import Node, Place

_BASES = {"transformer", "combiner", "router", "model", "outlier_detector", "drift_detector", "explainer"}


def node_class(root: Path, uses: str, place: str) -> type[Node]:
    """The class that `uses` names.

    Args:
        root: of the model repo, whose `src` is looked in too.
        uses: `module:Class`.
        place: `config/crm.yaml:12`, for the message.

    Raises:
        ConfigError: it cannot be imported, or is no node.
    """
    module_name, _, name = uses.partition(":")
    if not module_name or not name.isidentifier():
        raise ConfigError(f"{place}: `uses` is `{uses}`", "write it as module:Class")
    source = str(root / "src")
    if source not in sys.path:
        sys.path.insert(0, source)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a team's module does on import
        fix = "mend `uses`, or install what the module imports"
        raise ConfigError(f"{place}: `{module_name}` cannot be imported: {error}", fix) from error
    found = getattr(module, name, None)
    if found is None:
        classes = [known for known, value in vars(module).items() if isinstance(value, type)]
        raise ConfigError(f"{place}: `{module_name}` has no `{name}`", nearest(name, classes))
    if not (isinstance(found, type) and issubclass(found, Node) and getattr(found, "kind", None) in _BASES):
        fix = "derive it from Node, Combiner or Router of carrental_mlops.serving.nodes"
        raise ConfigError(f"{place}: `{uses}` is no node of an inference graph", fix)
    return found


def class_of(root: Path, named: Named, place: str) -> type[Node]:
    """The class of a node of `deploy.nodes`.

    Raises:
        ConfigError: as `node_class`, and where it is of another kind.
    """
    found = node_class(root, named.uses, place)
    if found.kind != named.kind:
        raise ConfigError(f"{place}: `{named.uses}` is a {found.kind}, `kind` says {named.kind}", f"kind: {found.kind}")
    return found


def settings_of(found: type[Node], named: Named, place: str) -> Any:
    """The node's settings, checked.

    Raises:
        ConfigError: the class does not take them.
    """
    try:
        return found.Settings.model_validate(dict(named.settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    key, known = ".".join(map(str, first["loc"])), found.Settings.model_fields
    if first["type"] == "extra_forbidden":
        told = nearest(key, known) if known else "take it out: the class has no settings"
        raise ConfigError(f"{place}: `{found.__name__}` takes no setting `{key}`", told)
    if first["type"] == "missing":
        description = known[key].description or "see the class"
        raise ConfigError(f"{place}: `{found.__name__}` wants the setting `{key}`", f"add `{key}:` ({description})")
    message = first["msg"][:1].lower() + first["msg"][1:]
    raise ConfigError(f"{place}: setting `{key}` of `{found.__name__}`: {message}", f"edit {place}")


def open_node(
    root: Path,
    name: str,
    bundle: Path | None = None,
    env: str | None = None,
    sets: tuple[str, ...] = (),
    predictor_host: str | None = None,
) -> NodeApp:
    """The application of the node `name` of the repo at `root`.

    Args:
        root: of the model repo.
        name: one of `deploy.nodes`.
        bundle: folder of the model.
        env: environment overlay; None for the first.
        sets: `key=value` pairs that go before the file's.
        predictor_host: `host[:port]` of the model that a transformer asks itself (KServe).

    Raises:
        ConfigError: there is no such node, or it cannot be made.
        DataError: the bundle is incomplete.
    """
    section = load(root, env, sets)
    config = repo_config(section)
    names = [named.name for named in config.deploy.nodes]
    if name not in names:
        raise ConfigError(f"no node `{name}` in `deploy.nodes`", nearest(name, names))
    named, place = config.deploy.nodes[names.index(name)], place_of(section, names.index(name))
    found = class_of(root, named, place)
    where = Place(root, config, name, CollectorRegistry(), bundle, predictor_host, env, sets)
    node = found(where, settings_of(found, named, place))
    door = None if found.own_door else door_of(root, config.serving.auth)
    traces = None
    if config.serving.traces.endpoint and not found.own_door:
        from carrental_mlops.serving.load import Bundle
        from carrental_mlops.serving.traces import Traces

        version = Bundle.read(bundle).identity.version if bundle else ""
        told = {"crm.model": config.service, "crm.node": name, "crm.node_kind": found.kind}
        traces = Traces(config.serving.traces.endpoint, config.serving.traces.ratio, name, version, told)
    return NodeApp(node, config.serving, door, traces)


def place_of(section: Section, number: int) -> str:
    """`config/crm.yaml:12` of a node."""
    return section["deploy"].place(("nodes", number))
