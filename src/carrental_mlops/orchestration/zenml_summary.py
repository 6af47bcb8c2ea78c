"""What a ZenML run did, as our RunSummary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, get_type_hints

from carrental_mlops.core.context import Dataset
from carrental_mlops.core.pipeline import Pipeline
from carrental_mlops.core.runner import RunSummary, StepOutcome
from carrental_mlops.errors import ConfigError, CrmError
from carrental_mlops.orchestration.zenml_steps import METRICS

_STATUS: Mapping[str, Any] = {"completed": "completed", "cached": "cached"}


def summarise(
    pipeline: type[Pipeline],
    client: Any,
    run_id: str,
    seen: Mapping[str, StepOutcome | None],
    urls: Mapping[str, str],
    steps: Mapping[str, Any] | None = None,
) -> RunSummary:
    """The run named `run_id`: its steps in the order of the slots, those that never began left out.

    Args:
        pipeline: the class that ran.
        client: ZenML's.
        run_id: the run's name.
        seen: what this process was told of steps; times in it are of the step alone.
        urls: where things lie.
        steps: `steps_of` the run, where they were read already.
    """
    found = steps_of(client, run_id) if steps is None else steps
    outcomes = []
    for slot in pipeline.slots():
        told = seen.get(slot)
        if told is not None:
            outcomes.append(told)
        elif slot in found:
            step = found[slot]
            seconds = (step.end_time - step.start_time).total_seconds() if step.end_time and step.start_time else 0.0
            status = _STATUS.get(str(step.status), "failed")
            kept = recorded(client, step)
            took = 0.0 if status == "cached" else seconds
            outcomes.append(StepOutcome(slot, status, took, kept.metrics, kept.params))
    return RunSummary(
        pipeline.name, run_id, "zenml", tuple(outcomes), lambda slot: load(pipeline, client, run_id, slot), urls
    )


class Recorded(NamedTuple):
    """What a step told its Context, its artefacts aside."""

    metrics: dict[str, float]
    params: dict[str, str]
    datasets: dict[str, Dataset]


def cached_records(client: Any, steps: Mapping[str, Any]) -> dict[str, Recorded]:
    """Slot name to what each of `steps` recorded that was taken from the cache."""
    return {slot: recorded(client, step) for slot, step in steps.items() if str(step.status) == "cached"}


def output_digests(steps: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Slot name to output name to the sha256 of the files that keep it."""
    return {
        slot: {name: str(versions[0].content_hash) for name, versions in step.outputs.items()}
        for slot, step in steps.items()
    }


def recorded(client: Any, step: Any) -> Recorded:
    """What a step, or the one it was cached from, left in ZenML."""
    kept = step.run_metadata.get(METRICS)
    if kept is None and step.original_step_run_id:
        kept = client.get_run_step(step.original_step_run_id).run_metadata.get(METRICS)
    kept = kept or {}
    return Recorded(
        {k: float(v) for k, v in kept.get("metrics", {}).items()},
        dict(kept.get("params", {})),
        {k: Dataset(**v) for k, v in kept.get("datasets", {}).items()},
    )


def load(pipeline: type[Pipeline], client: Any, run_id: str, slot: str) -> Any:
    """What the step of `slot` returned: a value, or a NamedTuple for several outputs.

    Raises:
        ConfigError: the run has no such step, or it did not finish.
        DataError: a stored file is not the one that was written.
    """
    steps, cls = steps_of(client, run_id), pipeline.slots().get(slot)
    if cls is None or slot not in steps:
        raise ConfigError(f"run {run_id} has no step `{slot}`", f"choose one of: {', '.join(steps)}")
    outputs = {name: versions[0] for name, versions in steps[slot].outputs.items()}
    if outputs.keys() != cls.outputs().keys():
        raise ConfigError(f"step `{slot}` of run {run_id} did not finish", "run the pipeline again")
    values = {name: outputs[name].load() for name in cls.outputs()}
    if not values:
        return None
    if len(values) == 1 and "output" in values:
        return values["output"]
    return get_type_hints(cls.run)["return"](**values)  # type: ignore[attr-defined]


def name_failure(error: BaseException, seen: Mapping[str, StepOutcome | None], run_id: str) -> None:
    """Put the failed step in front of an error of ours; leave a note on any other."""
    slot = next((s for s, o in seen.items() if o is not None and o.status == "failed"), None)
    if slot is None:
        return
    if isinstance(error, CrmError) and not error.what.startswith("step `"):
        error.args = (f"step `{slot}`: {error.what}", *error.args[1:])
    elif not isinstance(error, CrmError):
        error.add_note(f"in step `{slot}` of run {run_id}")


def steps_of(client: Any, run_id: str) -> dict[str, Any]:
    """Slot name to ZenML's record of each step that began; none where there is no such run."""
    try:
        run = client.get_pipeline_run(run_id, allow_name_prefix_match=False)
    except KeyError:
        return {}
    return dict(run.steps)
