"""The cache keys of steps in copies of their package: a question on stdin, the answer in JSON on the last line."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from carrental_mlops.core.fingerprint import reached


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Variant to `keys`: `module:Class` to what its key covers; or to `error`.

    Args:
        asked: `package`, `folders` (variant to the folder that holds the package), and `steps`, `module:Class` each.
    """
    told: dict[str, Any] = {}
    for variant, folder in asked["folders"].items():
        sys.path.insert(0, folder)
        try:
            told[variant] = {"keys": dict(_keys(asked["steps"]))}
        except Exception as error:  # whatever the team's modules raise
            told[variant] = {"error": f"{type(error).__name__}: {error}"}
        finally:
            sys.path.remove(folder)
            package = asked["package"]
            for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
                del sys.modules[name]
            importlib.invalidate_caches()
    return told


def _keys(steps: list[str]) -> list[tuple[str, dict[str, str]]]:
    found = []
    for name in steps:
        module, _, qualname = name.partition(":")
        cls = getattr(importlib.import_module(module), qualname, None)
        if cls is not None:
            found.append((name, reached(cls)))
    return found


if __name__ == "__main__":
    sys.stdout.write(f"\n{json.dumps(answer(json.load(sys.stdin)))}\n")
