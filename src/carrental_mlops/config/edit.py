"""Change values in a YAML file and keep its comments and order; the one module that knows ruamel.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from carrental_mlops.errors import ConfigError

_ODD = re.compile(r"[?:&#*!]")
"""Marks that ruamel (YAML 1.2) leaves bare and PyYAML (1.1) reads apart inside braces."""


def set_values(path: Path, values: Mapping[str, Any]) -> str:
    """The text of `path` with each dotted key of `values` set; missing sections are made.

    Args:
        path: a YAML file, such as `config/crm.yaml`.
        values: dotted key to new value, `{"columns.rename.TX_AMOUNT": "amount_eur"}`.

    Raises:
        ConfigError: the file is missing or not YAML, or a key leads through a value that is not a section.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    yaml = YAML()
    yaml.width = 120
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        document = yaml.load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ConfigError(f"{path} not found", "run inside a model repo, or: crm new") from None
    except YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}", "mend the YAML at that line") from None
    for key, value in values.items():
        *sections, last = key.split(".")
        node = document
        for depth, section in enumerate(sections):
            if node.get(section) is None:
                node[section] = {}
            node = node[section]
            if not isinstance(node, dict):
                at = ".".join(sections[: depth + 1])
                raise ConfigError(
                    f"{path}: `{at}` holds {node!r}, so `{key}` cannot be set", f"crm config explain {at}"
                )
        node[last] = DoubleQuotedScalarString(value) if isinstance(value, str) and _ODD.search(value) else value
    out = StringIO()
    yaml.dump(document, out)
    return out.getvalue()
