"""YAML as a person would write it: keys in order, scripts as blocks, a comment over each part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

WIDTH = 120


class _Dumper(yaml.SafeDumper):
    """Lists indented below their key; text of several lines as a literal block."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def block(value: Mapping[str, Any], indent: int = 0) -> str:
    """`value` as YAML, each line moved right by `indent`; `on` stays the bare word that GitHub writes."""
    text = yaml.dump(dict(value), Dumper=_Dumper, sort_keys=False, width=WIDTH - indent, allow_unicode=True)
    text = text.replace("'on':", "on:", 1) if text.startswith("'on':") else text
    return "".join(" " * indent + line if line.strip() else line for line in text.splitlines(keepends=True))
