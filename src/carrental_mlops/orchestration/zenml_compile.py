"""Our pipelines as genuine ZenML pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrental_mlops.config.models import StepOptions
from carrental_mlops.core.binding import with_defaults
from carrental_mlops.core.pipeline import Pipeline
from carrental_mlops.core.step import Step, StepConfig
from carrental_mlops.core.wiring import trace
from carrental_mlops.errors import ConfigError, nearest
from carrental_mlops.orchestration.zenml_steps import LeftOut, ZenSlot, repo_here, zen_step


def _arguments(options: StepOptions) -> dict[str, Any]:
    """`options` as arguments of a ZenML step."""
    from zenml.config import ResourceSettings
    from zenml.config.retry_config import StepRetryConfig

    found: dict[str, Any] = {}
    if options.retries:
        found["retry"] = StepRetryConfig(max_retries=options.retries, delay=options.retry_delay_s)
    wanted = {"cpu_count": options.cpus, "gpu_count": options.gpus, "memory": options.memory}
    given = {k: v for k, v in wanted.items() if v is not None}
    if given:
        found["settings"] = {"resources": ResourceSettings(**given)}
    return found


def compile_pipeline(
    pipeline: type[Pipeline],
    configs: Mapping[str, StepConfig],
    *,
    root: Path | None = None,
    seed: int = 0,
    extra: Mapping[str, Any] | None = None,
    steps: Mapping[str, StepOptions] | None = None,
    only_step: str | None = None,
    **options: Any,
) -> Any:
    """The genuine ZenML pipeline of `pipeline`; call it to run it on the active stack.

    Args:
        pipeline: the class.
        configs: slot name to config; a slot that is absent takes its defaults.
        root: the model repo; None is the one around the working folder.
        seed: of every step; part of the cache key.
        extra: what steps read of their run, under `crm`.
        steps: slot name to retries and resources.
        only_step: leave out every slot that this one does not need.
        options: further arguments of ZenML's `pipeline`: `enable_cache`, `model`, `on_success`, `on_failure`, ….

    Raises:
        ContractError: an output has a type that nothing but pickle could keep.
        ConfigError: no slot has the name `only_step`, or one of `steps`.
    """
    from zenml import pipeline as zen_pipeline
    from zenml.enums import ExecutionMode

    _check_names(pipeline, {*(steps or {}), *([only_step] if only_step else [])})
    connected = _Connected(
        pipeline, with_defaults(pipeline, configs), seed, root or repo_here(), steps or {}, only_step
    )

    def connect() -> None:
        connected.build()

    connect.__name__ = connect.__qualname__ = pipeline.name.replace("-", "_")
    connect.__doc__ = pipeline.__doc__
    decorate: Any = zen_pipeline(
        name=pipeline.name, extra={"crm": dict(extra or {})}, **{"execution_mode": ExecutionMode.FAIL_FAST, **options}
    )
    return decorate(connect)


def _check_names(pipeline: type[Pipeline], names: AbstractSet[str]) -> None:
    slots = pipeline.slots()
    for name in names - slots.keys():
        raise ConfigError(f"pipeline {pipeline.name} has no step `{name}`", nearest(name, slots))


@dataclass(frozen=True)
class _Connected:
    """A pipeline whose `build` calls ZenML's steps."""

    pipeline: type[Pipeline]
    configs: Mapping[str, StepConfig]
    seed: int
    root: Path
    options: Mapping[str, StepOptions]
    only_step: str | None

    def build(self) -> None:
        """Connect the steps; ZenML collects them meanwhile."""
        wanted = trace(self.pipeline).needed(self.only_step)
        slots = self.pipeline.slots().items()
        bound = {slot: self._step(slot, cls) if slot in wanted else LeftOut(cls) for slot, cls in slots}
        self.pipeline(bound).build()

    def _step(self, slot: str, cls: type[Step]) -> ZenSlot:
        config, given = self.configs[slot], _arguments(self.options.get(slot, StepOptions()))
        return ZenSlot(cls, config, zen_step(cls, slot, config, seed=self.seed, root=self.root, options=given))
