"""What a finished training found and was told by its gate, as one record."""

from __future__ import annotations

from typing import Any

from carrental_mlops.core import RunSummary
from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.data.measures.evaluation import Evaluation
from carrental_mlops.deploy.ci.run_record import RunRecord, Tuned, record_of
from carrental_mlops.errors import ConfigError
from carrental_mlops.steps.gate import Verdict

_TUNED = "tuned_"
"""Before the name of a parameter that a step's search chose, as the step recorded it."""


def judged(summary: RunSummary, refused: str | None, repo: ModelRepo) -> RunRecord:
    """The record of `summary`.

    Args:
        summary: of a run, on whichever engine.
        refused: why it ended with exit code 4, or None.
        repo: whose run it was, as it ran.

    Raises:
        ConfigError: the run evaluated or judged nothing.
    """
    results = [summary.load(step.slot) for step in summary.steps]
    evaluation, verdict = _last(results, Evaluation), _last(results, Verdict)
    if evaluation is None or verdict is None:
        raise ConfigError(f"a run of {summary.pipeline} has no evaluation and gate to record", "leave --record out")
    record = record_of(summary.pipeline, summary.run_id, evaluation, verdict.checks, refused)
    settings, elsewhere = _tuned(summary, repo)
    return record.model_copy(update={"tuned": settings, "tuned_elsewhere": elsewhere})


def _tuned(summary: RunSummary, repo: ModelRepo) -> tuple[dict[str, Tuned], tuple[str, ...]]:
    """(what a search chose, by the key of crm.yaml that says it now; names that are no settings)."""
    configs = repo.step_configs(repo.pipeline(summary.pipeline))
    settings: dict[str, Tuned] = {}
    elsewhere: list[str] = []
    for step in summary.steps:
        config = configs[step.slot]
        for name, text in step.params.items():
            name = name.removeprefix(_TUNED) if name.startswith(_TUNED) else ""
            if name in type(config).model_fields:
                chosen = type(config).model_validate({**config.model_dump(), name: text})
                change = Tuned(before=getattr(config, name), after=getattr(chosen, name))
                settings[_key(repo, summary.pipeline, step.slot, name)] = change
            elif name:
                elsewhere.append(name)
    return settings, tuple(elsewhere)


def _key(repo: ModelRepo, pipeline: str, slot: str, name: str) -> str:
    """Where the setting is written: for this pipeline alone, where crm.yaml does so already."""
    own = repo.config.pipelines[pipeline].steps.get(slot, {}) if pipeline in repo.config.pipelines else {}
    return f"pipelines.{pipeline}.steps.{slot}.{name}" if name in own else f"steps.{slot}.{name}"


def _last(results: list[Any], kind: type[Any]) -> Any:
    return next((one for one in reversed(results) if isinstance(one, kind)), None)
