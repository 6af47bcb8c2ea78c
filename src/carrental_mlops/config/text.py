"""YAML to plain values, with the file and line of every key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from carrental_mlops.errors import ConfigError

KeyPath = tuple[str | int, ...]
Lines = dict[KeyPath, str]

_MOST_NODES = 20_000
"""Above this a file is an expansion of aliases, not configuration."""


def read(path: Path) -> tuple[dict[str, Any], Lines]:
    """The mapping in `path` and `config/crm.yaml:12` of every key in it.

    Raises:
        ConfigError: no such file, not UTF-8, broken YAML, a key twice, or no mapping at the top.
    """
    name = f"{path.parent.name}/{path.name}"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{name} not found in {path.parents[1]}", "run inside a model repo, or: crm new") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} cannot be read: {error}", "make it a readable UTF-8 text file") from error
    value, lines = _parse(text, name)
    if value is None:
        return {}, {(): f"{name}:1"}
    if not isinstance(value, dict):
        raise ConfigError(
            f"{lines[()]}: found {type(value).__name__}, expected `key: value` lines",
            f"begin {lines[()]} with a key and a colon, as in `owner: team@example.com`",
        )
    return value, lines


def parse_value(text: str, name: str) -> Any:
    """The value that `text` stands for in YAML.

    Raises:
        ConfigError: broken YAML, with `name` as its place.
    """
    return _parse(text, name)[0]


def _parse(text: str, name: str) -> tuple[Any, Lines]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        walk = _Walk(name)
        return (walk.value(root, ()) if root is not None else None), walk.lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{name}:{line}: not YAML: {error.problem or error}", "mend the YAML at that line") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {error}", "make it a UTF-8 text file of `key: value` lines") from None


class _Walk:
    """Turns nodes into values and notes where each key stands."""

    def __init__(self, name: str) -> None:
        self.name, self.lines, self._open, self._seen = name, Lines(), set[int](), 0

    def value(self, node: yaml.Node, at: KeyPath) -> Any:
        """What `node` stands for."""
        self._seen += 1
        if id(node) in self._open or self._seen > _MOST_NODES:
            raise ConfigError(
                f"{self._place(node)}: an alias holds itself or grows without end", "write the values out"
            )
        self.lines.setdefault(at, self._place(node))
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, at)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*at, n)) for n, item in enumerate(node.value)]
            return self._scalar(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, at: KeyPath) -> dict[str, Any]:
        own: dict[str, Any] = {}
        shared: dict[str, Any] = {}
        for key, inner in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                for part in inner.value if isinstance(inner, yaml.SequenceNode) else [inner]:
                    merged = self.value(part, at)
                    if not isinstance(merged, dict):
                        raise ConfigError(f"{self._place(key)}: `<<` wants a mapping", "write the values out")
                    shared = {**merged, **shared}
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{self._place(key)}: a key must be a plain word", "write `key: value`")
            if key.value in own:
                first = self.lines[(*at, key.value)]
                raise ConfigError(f"{self._place(key)}: key `{key.value}` stands twice, first at {first}", "keep one")
            self.lines[(*at, key.value)] = self._place(key)
            own[key.value] = self.value(inner, (*at, key.value))
        return {**shared, **own}

    def _scalar(self, node: yaml.Node) -> Any:
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node, deep=True)
        except ValueError as error:
            raise ConfigError(f"{self._place(node)}: `{node.value}`: {error}", "put it in quotes, or mend it") from None

    def _place(self, node: yaml.Node) -> str:
        mark = node.start_mark
        return f"{self.name}:{mark.line + 1}" if mark and not self.name.startswith("--set") else self.name
