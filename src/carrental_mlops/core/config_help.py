"""What a key of crm.yaml means, and the JSON schema of the whole file."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from carrental_mlops.config import RepoConfig
from carrental_mlops.config.type_text import type_text
from carrental_mlops.core.binding import SHARED
from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.errors import ConfigError, nearest


@dataclass(frozen=True)
class Explanation:
    """One key of crm.yaml."""

    key: str
    doc: str
    type: str
    default: Any
    """None with `required` true where there is no default."""
    required: bool
    value: Any
    """In force now: as written, else the default."""
    place: str
    """`file:line` of the value, or `default`."""


def explain(repo: ModelRepo, key: str) -> Explanation:
    """What `key`, such as `slo.p99_ms` or `steps.train.n_estimators`, means and where its value comes from.

    Raises:
        ConfigError: there is no such key; names the nearest.
    """
    parts = key.split(".")
    model, rest = _model_at(repo, parts)
    found = _found(model, rest, key)
    written = _written(repo, parts)
    return Explanation(
        key,
        found.doc,
        type_text(found.annotation),
        found.default,
        found.required,
        found.default if written is None else written[0],
        "default" if written is None else written[1],
    )


def schema(repo: ModelRepo) -> dict[str, Any]:
    """JSON schema of this repo's crm.yaml, the settings of its own steps included; editors read it."""
    found = RepoConfig.model_json_schema()
    definitions = found.setdefault("$defs", {})
    slots: dict[str, Any] = {}
    for slot, model in _step_models(repo).items():
        part = model.model_json_schema()
        definitions |= part.pop("$defs", {})
        part["properties"] = {k: v for k, v in part.get("properties", {}).items() if k not in SHARED}
        part["required"] = []
        slots[slot] = part
    steps = {"type": "object", "additionalProperties": False, "properties": slots}
    found["properties"]["steps"] = {**steps, "description": "Settings by step."}
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return found


def _step_models(repo: ModelRepo) -> dict[str, type[BaseModel]]:
    return {slot: cls.config_model() for p in repo.pipelines().values() for slot, cls in p.slots().items()}


def _model_at(repo: ModelRepo, parts: list[str]) -> tuple[type[BaseModel], list[str]]:
    steps_at = 0 if parts[0] == "steps" else 2 if parts[0] == "pipelines" and parts[2:3] == ["steps"] else None
    if steps_at is None or len(parts) <= steps_at + 2:
        return RepoConfig, parts
    slot = parts[steps_at + 1]
    models = _step_models(repo)
    if slot not in models:
        raise ConfigError(f"no step `{slot}` in any pipeline of this repo", nearest(slot, models))
    return models[slot], parts[steps_at + 2 :]


@dataclass(frozen=True)
class _Found:
    annotation: Any
    doc: str
    default: Any = None
    required: bool = False


def _found(model: type[BaseModel], parts: list[str], key: str) -> _Found:
    """What stands at `parts` below `model`; a key of a mapping is described as its values are."""
    at = _Found(model, "")
    for part in parts:
        inner, values = _model_of(at.annotation), _values_of(at.annotation)
        if inner is not None:
            if part not in inner.model_fields:
                raise ConfigError(f"no key `{key}`: `{part}` is unknown", nearest(part, inner.model_fields))
            at = _of_field(inner.model_fields[part])
        elif values is not None:
            at = _Found(values, _doc_of(values) or at.doc)
        else:
            above = key.rpartition(f".{part}")[0]
            raise ConfigError(f"no key `{key}`: `{above}` is one value", f"crm config explain {above}")
    return at


def _of_field(field: FieldInfo) -> _Found:
    doc = " ".join((field.description or "").split()) or _doc_of(field.annotation)
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return _Found(field.annotation, doc, default, field.is_required())


def _doc_of(annotation: Any) -> str:
    """The docstring of the model that `annotation` is, on one line; else nothing."""
    model = _model_of(annotation)
    return " ".join((model.__doc__ or "").split()) if model else ""


def _options(annotation: Any) -> tuple[Any, ...]:
    return typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    return next((t for t in _options(annotation) if isinstance(t, type) and issubclass(t, BaseModel)), None)


def _values_of(annotation: Any) -> Any:
    """Type of the values of a mapping; None for what is none."""
    return next((typing.get_args(t)[1] for t in _options(annotation) if typing.get_origin(t) is dict), None)


def _written(repo: ModelRepo, parts: list[str]) -> tuple[Any, str] | None:
    value = repo.section.value
    for part in parts:
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value, repo.section.place(tuple(parts))
