"""The step catalogue: `steps/<name>/step.yaml` and `override.py.jinja`, read light, written from the classes.

`python -m carrental_mlops.scaffold.step_cards` writes it anew.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from carrental_mlops.assets import asset_dir
from carrental_mlops.config.type_text import type_text
from carrental_mlops.core.hook import HookSpec, definitions, hooks_of
from carrental_mlops.errors import ConfigError, nearest

if TYPE_CHECKING:
    from carrental_mlops.core import Step

_ROOM = "carrental_mlops.steps"
_HEAD = "# Generated from the classes: python -m carrental_mlops.scaffold.step_cards\n"
_LINE = 100
PLAIN = {
    "feature_set": "carrental_mlops.data.features:FeatureSet",
    "service": "carrental_mlops.serving.service:ModelService",
}
"""What is no step and has hooks; light enough to be read from the classes themselves."""


def read_steps() -> list[dict[str, Any]]:
    """Every card of the catalogue, in the order of a training run, imported from no step class."""
    cards = [_read(path) for path in sorted(asset_dir("steps").glob("*/step.yaml"))]
    return sorted(cards, key=lambda card: (card["order"], card["name"]))


def read_step(name: str) -> dict[str, Any]:
    """The card of one step: class, summary, inputs, outputs, config, hooks.

    Raises:
        ConfigError: there is no such step; names the nearest.
    """
    return _found(name, ())


def hook_cards(name: str | None = None) -> list[dict[str, Any]]:
    """Class and hooks of all that a team may override: the steps, then `feature_set` and `service`.

    Args:
        name: of this card alone.

    Raises:
        ConfigError: there is no such card; names the nearest.
    """
    if name is None:
        return [*read_steps(), *map(_plain_card, PLAIN)]
    return [_plain_card(name) if name in PLAIN else _found(name, PLAIN)]


def _found(name: str, beside: Iterable[str]) -> dict[str, Any]:
    path = asset_dir("steps") / name / "step.yaml"
    if not path.is_file():
        known = [*beside, *(p.parent.name for p in asset_dir("steps").glob("*/step.yaml"))]
        raise ConfigError(f"no default step `{name}`", f"crm steps list; {nearest(name, known)}")
    return _read(path)


def _plain_card(name: str) -> dict[str, Any]:
    module, _, attribute = PLAIN[name].partition(":")
    cls = getattr(importlib.import_module(module), attribute)
    return {"name": name, "class": attribute, "hooks": [_hook(cls, spec) for spec in hooks_of(cls).values()]}


def read_override(name: str) -> str:
    """The Jinja text of an override of step `name`; it takes `class_name`, `service` and `hook`."""
    return (asset_dir("steps") / name / "override.py.jinja").read_text(encoding="utf-8")


def generate() -> dict[str, str]:
    """The whole catalogue as the classes say it: path below `steps/` to text."""
    import carrental_mlops.steps as room
    from carrental_mlops.core import Step
    from carrental_mlops.pipelines import TrainingPipeline

    order = {cls: n for n, cls in enumerate(TrainingPipeline.slots().values())}
    classes = [c for n in room.__all__ if isinstance(c := getattr(room, n), type) and issubclass(c, Step)]
    files: dict[str, str] = {}
    for cls in classes:
        card = _card(cls, order.get(cls, len(order)))
        text = yaml.safe_dump(card, sort_keys=False, width=120, allow_unicode=True)
        files[f"{card['name']}/step.yaml"] = _HEAD + text
        files[f"{card['name']}/override.py.jinja"] = _override(card)
    return files


def _read(path: Path) -> dict[str, Any]:
    card: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
    return card


def _card(cls: type[Step], order: int) -> dict[str, Any]:
    from carrental_mlops.core.binding import SHARED

    model = cls.config_model()
    fields = model.model_json_schema().get("properties", {})
    return {
        "name": re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__.removesuffix("Step")).lower(),
        "order": order,
        "class": cls.__name__,
        "module": _ROOM,
        "summary": (inspect.getdoc(cls) or "").partition("\n")[0],
        "inputs": {name: type_text(tp) for name, tp in cls.inputs().items()},
        "outputs": {name: type_text(tp) for name, tp in cls.outputs().items()},
        "config_class": model.__name__,
        "config": {
            name: {
                "type": type_text(field.annotation),
                **({} if field.is_required() else {"default": fields[name].get("default")}),
                "description": " ".join((field.description or "").split()),
            }
            for name, field in model.model_fields.items()
            if name not in SHARED
        },
        "hooks": [{**_hook(cls, spec), "imports": _hook_imports(cls, spec)} for spec in hooks_of(cls).values()],
    }


def _hook(cls: type, spec: HookSpec) -> dict[str, Any]:
    method = _method_of(cls, spec)
    node = _definition(method)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return {
        "name": spec.name,
        "since": spec.since,
        "returns": spec.returns,
        "signature": f"({ast.unparse(node.args)}){returns}",
        "doc": inspect.getdoc(method) or "",
        "arguments": [arg.arg for arg in (*node.args.args[1:], *node.args.kwonlyargs)],
    }


def _method_of(cls: type, spec: HookSpec) -> Any:
    return next(definitions(cls, spec.name))[1]


def _definition(method: Any) -> ast.FunctionDef:
    node = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(method)))).body[0]
    assert isinstance(node, ast.FunctionDef)  # noqa: S101 - a hook is a method
    return node


def _hook_imports(cls: type, spec: HookSpec) -> list[str]:
    method = _method_of(cls, spec)
    return _imports(_definition(method), inspect.getmodule(inspect.unwrap(method)))


def _imports(node: ast.FunctionDef, module: Any) -> list[str]:
    annotations = [a.annotation for a in (*node.args.args, *node.args.kwonlyargs) if a.annotation]
    used = {n.id for part in (*annotations, node.returns) if part for n in ast.walk(part) if isinstance(n, ast.Name)}
    known = _imported(ast.parse(inspect.getsource(module)))
    public = _public()
    own = {n: f"from {module.__name__} import {n}" for n in used if n in vars(module)}
    found = {**own, **known, **{n: f"from {_ROOM} import {n}" for n in used & public}}
    return sorted(found[name] for name in used if name in found)


def _public() -> set[str]:
    import carrental_mlops.steps as room

    return set(room.__all__)


def _imported(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {
                a.asname or a.name: f"import {a.name}" + (f" as {a.asname}" if a.asname else "") for a in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            found |= {a.asname or a.name: f"from {node.module} import {a.name}" for a in node.names}
    return found


def _override(card: dict[str, Any]) -> str:
    head = (
        f'class {{{{ class_name }}}}({card["class"]}):\n    """Where {{{{ service }}}} differs from the default."""\n'
    )
    return head + "".join(_method(hook) for hook in card["hooks"])


def _method(hook: dict[str, Any]) -> str:
    head = f"    def {hook['name']}{hook['signature']}:"
    if len(head) > _LINE:
        arguments, _, returns = hook["signature"].rpartition(" -> ")
        inner = arguments.removeprefix("(").removesuffix(")")
        head = f"    def {hook['name']}(\n        {inner}\n    ) -> {returns}:"
    given = ", ".join(f"{name}={name}" for name in hook["arguments"])
    text = textwrap.wrap(f"Return {hook['returns']}.", _LINE - 8)
    doc = text[0] if len(text) == 1 else "\n        ".join(text) + "\n        "
    body = f'        """{doc}"""\n        return super().{hook["name"]}({given})\n'
    return f'{{% if hook == "{hook["name"]}" %}}\n\n{head}\n{body}{{% endif %}}\n'


def write(folder: Path) -> list[Path]:
    """Write the generated catalogue below `folder`; returns the files that changed."""
    changed = []
    for name, text in generate().items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    write(asset_dir("steps"))
