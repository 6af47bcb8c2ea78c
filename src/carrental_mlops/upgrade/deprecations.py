"""What a version declares in `core/deprecated.py`, read from its source; nothing of it is run."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, get_args

from carrental_mlops.core import deprecated
from carrental_mlops.core.deprecated import Change, Kind
from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.versions import Material


def declared(version: Material) -> tuple[Change, ...]:
    """The renamed, removed and moved names of a version, oldest first; none where it has no such file.

    Raises:
        TemplateError: an entry is not a call of plain values, or of a kind that this version of `crm` does not know.
    """
    path = version.package / "core" / "deprecated.py"
    if not path.is_file():
        return ()
    for node in ast.parse(path.read_bytes()).body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if isinstance(node, ast.Assign | ast.AnnAssign) and [getattr(t, "id", "") for t in targets] == ["CHANGES"]:
            return tuple(_change(entry, version) for entry in getattr(node.value, "elts", [node.value]))
    return ()


def _change(node: ast.expr, version: Material) -> Change:
    at = f"carrental-mlops {version.version}, core/deprecated.py:{node.lineno}"
    name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    if not isinstance(node, ast.Call) or name not in get_args(Kind):
        fix = f"run the upgrade with that version's own crm: uv tool install carrental-mlops=={version.version}"
        raise TemplateError(f"{at}: `{ast.unparse(node)}` is no change that this crm knows", fix)
    try:
        given: dict[str, Any] = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
        make: Callable[..., Change] = getattr(deprecated, name)
        return make(*map(ast.literal_eval, node.args), **given)
    except (ValueError, TypeError) as error:
        raise TemplateError(f"{at}: {error}", "write the entry as a call of plain values") from error
