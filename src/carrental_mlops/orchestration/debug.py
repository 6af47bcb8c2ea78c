"""One step of a stored ZenML run, taken up again in this process with the inputs that it had then."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from carrental_mlops.config.type_text import type_text
from carrental_mlops.core.context import Context
from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.core.step import Step, named_outputs
from carrental_mlops.errors import ConfigError, CrmError, nearest
from carrental_mlops.integrations.mlflow_runs import stands_for


@dataclass(frozen=True)
class Held:
    """One value that went into or came out of a step."""

    name: str
    type: str
    shape: str
    """Rows x columns of a table, length of what has one, else empty."""
    digest: str
    """sha256 of the files that keep it."""


@dataclass(frozen=True)
class StoredStep:
    """A step bound to its recorded config, and its inputs loaded with their digests checked."""

    step: Step
    inputs: Mapping[str, Any]
    context: Context
    """`stores` is False: what is tried here changes nothing outside."""
    held: tuple[Held, ...]

    def run(self) -> tuple[Any, tuple[Held, ...]]:
        """What the step's `run` returns for its stored inputs, and a description of it."""
        self.context.seed_everything()
        result = self.step.run(**self.inputs)  # type: ignore[attr-defined]
        return result, described(type(self.step), result)


def stored_step(repo: ModelRepo, run: str, slot: str) -> StoredStep:
    """The step `slot` of the ZenML run that `run` stands for: its name, or that shortened.

    Args:
        repo: whose pipelines say which class fills the slot now, and whose environment names the ZenML stack.
        run: as `crm runs list` prints it, or its last 6 characters; `latest` is the newest.
        slot: as `crm pipelines show` prints it.

    Raises:
        ConfigError: no such run or step, or the step never began; names the nearest.
        DataError: a stored input is not the one that was written.
        PlatformError: ZenML's store cannot be opened.
    """
    from carrental_mlops.orchestration.zenml_home import open_home

    client = open_home(repo.root, repo.config.zenml.stack, repo.config.zenml.server)
    found = _find_run(client, run)
    settings = dict(found.config.extra.get("crm", {}))
    cls = _step_class(repo, settings.get("pipeline") or found.pipeline.name, slot)
    steps = dict(found.steps)
    if slot not in steps:
        raise ConfigError(f"step `{slot}` never began in run {found.name}", f"it stopped in: {list(steps)[-1]}")
    stored = steps[slot]
    known = repo.context(settings.get("env"), settings.get("seed"))
    name = settings.get("pipeline") or found.pipeline.name
    context = replace(known, run_id=found.name, pipeline=name, step=slot)
    versions = {name: _newest(given) for name, given in stored.inputs.items()}
    inputs = {name: version.load() for name, version in versions.items()}
    config = cls.config_model().model_validate(stored.config.parameters.get("config", {}))
    held = tuple(held_as(name, inputs[name], str(v.content_hash or "")) for name, v in versions.items())
    return StoredStep(cls(config, context), inputs, context, held)


def described(cls: type[Step], result: Any) -> tuple[Held, ...]:
    """Each output in `result`, what a step of `cls` returned."""
    names, values = cls.outputs(), named_outputs(cls, result)
    return tuple(held_as(name, value, digest_of(names[name], value)) for name, value in values.items())


def held_as(name: str, value: Any, digest: str) -> Held:
    """`value` in one line."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        size = " x ".join(map(str, shape))
    else:
        size = str(len(value)) if isinstance(value, list | tuple | dict | str) else ""
    return Held(name, type_text(type(value)), size, digest)


def digest_of(declared: Any, value: Any) -> str:
    """sha256 of the files that the materialiser of `declared` keeps `value` in; as ZenML records it."""
    from carrental_mlops.files import folder_digest
    from carrental_mlops.orchestration.kept import form_of

    with tempfile.TemporaryDirectory(prefix="crm-digest-") as scratch:
        form_of(declared, "value").write(value, Path(scratch))
        return folder_digest(Path(scratch))


def source_of(step: Step) -> str:
    """`file:line` where the class of `step` stands."""
    cls = type(step)
    return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"


def _step_class(repo: ModelRepo, pipeline: str, slot: str) -> type[Step]:
    slots = repo.pipeline(pipeline).slots()
    if slot not in slots:
        raise ConfigError(f"pipeline `{pipeline}` has no step `{slot}`", nearest(slot, slots))
    return slots[slot]


def _find_run(client: Any, run: str) -> Any:
    listed = client.list_pipeline_runs(sort_by="desc:created", size=500).items
    names = [r.name for r in listed]
    if run == "latest" and names:
        return client.get_pipeline_run(names[0], allow_name_prefix_match=False)
    fits = [n for n in names if n == run] or [n for n in names if stands_for(run, n)]
    if len(fits) == 1:
        return client.get_pipeline_run(fits[0], allow_name_prefix_match=False)
    raise _no_run(run, fits or names, len(fits))


def _no_run(run: str, names: Iterable[str], fits: int) -> CrmError:
    shown = list(names)[:10]
    if not shown:
        return ConfigError(f"no run `{run}`: nothing ran on ZenML here yet", "crm run training")
    return ConfigError(
        f"{fits} stored runs are named `{run}`, in whole or in short", f"crm runs list; {nearest(run, shown)}"
    )


def _newest(given: Any) -> Any:
    return given[0] if isinstance(given, list) else given
