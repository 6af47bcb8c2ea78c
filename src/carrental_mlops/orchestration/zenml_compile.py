"""Our pipelines as genuine ZenML pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carrental_mlops.config.models import StepOptions
from carrental_mlops.core.pipeline import Pipeline
from carrental_mlops.core.step import StepConfig
from carrental_mlops.errors import ConfigError, nearest
from carrental_mlops.orchestration.zenml_steps import LeftOut, ZenSlot, needed, repo_here, zen_step


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

    slots = pipeline.slots()
    for name in {*(steps or {}), *([only_step] if only_step else [])} - slots.keys():
        raise ConfigError(f"pipeline {pipeline.name} has no step `{name}`", nearest(name, slots))
    wanted, repo = needed(pipeline, only_step), root or repo_here()
    values = {slot: configs[slot] if slot in configs else cls.config_model()() for slot, cls in slots.items()}

    def connect() -> None:
        bound: dict[str, Any] = {}
        for slot, cls in slots.items():
            given = _arguments((steps or {}).get(slot, StepOptions()))
            bound[slot] = (
                ZenSlot(cls, values[slot], zen_step(cls, slot, values[slot], seed=seed, root=repo, options=given))
                if slot in wanted
                else LeftOut(cls)
            )
        pipeline(bound).build()

    connect.__name__ = connect.__qualname__ = pipeline.name.replace("-", "_")
    connect.__doc__ = pipeline.__doc__
    decorate: Any = zen_pipeline(
        name=pipeline.name, extra={"crm": dict(extra or {})}, **{"execution_mode": ExecutionMode.FAIL_FAST, **options}
    )
    return decorate(connect)
