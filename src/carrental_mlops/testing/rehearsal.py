"""A pipeline run once on little data with each step asked twice: what only a run can show of a step."""

from __future__ import annotations

import inspect
import sys
import tempfile
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from carrental_mlops.core import Pipeline, Step
from carrental_mlops.core.checksum import checksum
from carrental_mlops.core.fingerprint import reached
from carrental_mlops.core.hook import where
from carrental_mlops.core.repo import open_repo
from carrental_mlops.core.runner import RunSummary, StepOutcome
from carrental_mlops.core.step import named_outputs
from carrental_mlops.errors import ContractError
from carrental_mlops.files import folder_digest
from carrental_mlops.orchestration.kept import form_of
from carrental_mlops.testing.check import Check
from carrental_mlops.testing.results import Results


@dataclass
class _Held:
    """What one step did."""

    cls: type[Step]
    result: Any = None
    inputs_before: dict[str, str] = field(default_factory=dict)
    inputs_after: dict[str, str] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    """Output to the digest of its kept form."""
    again: dict[str, str] = field(default_factory=dict)
    read_back: dict[str, str] = field(default_factory=dict)
    not_kept: Exception | None = None
    ran: frozenset[str] = frozenset()
    """`module:qualname` of the team's functions that ran."""


class Rehearsal:
    """A run in this process with the repo's own configuration, nothing stored; made when it is first asked for.

    `results` has what each step returned; `checks` holds each step to what every engine relies on.

    Args:
        pipeline: a class of the repo's `pipelines.py`.
        root: the model repo.
        sets: `steps.ingest.source=…`, as after `crm run --set`: name little data, each step runs twice.
    """

    def __init__(self, pipeline: type[Pipeline], root: Path, *sets: str) -> None:
        self._pipeline, self._root, self._sets = pipeline, root, sets
        self._held: dict[str, _Held] = {}
        self._error: BaseException | None = None

    @cached_property
    def results(self) -> Results:
        """What each step returned, by slot.

        Raises:
            CrmError: the configuration does not hold, or a step failed.
        """
        repo = open_repo(self._root, None, self._sets)
        configs, context = repo.step_configs(self._pipeline), repo.context()
        package = self._root / "src"
        outcomes: dict[str, tuple[StepOutcome, Any]] = {}
        runners = {}
        for slot, cls in self._pipeline.slots().items():
            told = replace(context, pipeline=self._pipeline.name, step=slot)
            runners[slot] = _Twice(slot, cls, configs.get(slot), told, package, self._held, outcomes)
        self._pipeline(runners).build()
        steps = tuple(outcome for outcome, _ in outcomes.values())
        return Results(RunSummary(self._pipeline.name, context.run_id, "local", steps, lambda slot: outcomes[slot][1]))

    def checks(self) -> list[Check]:
        """Four of each step, each a test of its own: the run is made by the first that is called."""
        named = {
            "leaves its inputs as they are": _check_inputs,
            "hands on what can be kept without pickle": _check_kept,
            "has a cache key that covers the code that ran": _check_covered,
            "answers the same again under one seed": _check_again,
        }
        return [
            Check(f"{self._pipeline.__name__}.{slot}", name, lambda s=slot, h=hold: h(self._of(s)), quick=False)  # type: ignore[misc]
            for slot, cls in self._pipeline.slots().items()
            for name, hold in named.items()
            if cls.cacheable or hold is not _check_again
        ]

    def _of(self, slot: str) -> _Held:
        if self._error is None and "results" not in vars(self):
            try:
                _ = self.results
            except Exception as error:
                self._error = error
        if slot not in self._held:
            if self._error is not None:
                raise self._error
            at = f"`{self._pipeline.__name__}` ({where(self._pipeline)})"
            raise ContractError(f"{at} never runs its step `{slot}`", f'call it in build, or: {slot} = drop("why")')
        return self._held[slot]


class _Twice:
    """Stands in a slot: runs the step, then a second object of it on the same inputs under the same seed."""

    def __init__(self, slot: str, cls: type[Step], config: Any, context: Any, package: Path,
                 held: dict[str, _Held], outcomes: dict[str, tuple[StepOutcome, Any]]) -> None:  # fmt: skip
        self._slot, self._cls, self._config, self._context = slot, cls, config, context
        self._package, self._held, self._outcomes = package, held, outcomes

    def run(self, **inputs: Any) -> Any:
        before = _digests(inputs)
        with _watched(self._package) as ran:
            result, metrics = self._asked(inputs)
        held = _Held(self._cls, result, before, _digests(inputs), ran=frozenset(ran))
        try:
            held.first, held.read_back = _kept(self._cls, result)
        except Exception as error:
            held.not_kept = error
        if self._cls.cacheable and held.not_kept is None:
            held.again, _ = _kept(self._cls, self._asked(inputs)[0])
        self._held[self._slot] = held
        self._outcomes[self._slot] = StepOutcome(self._slot, "completed", 0.0, metrics), result
        return result

    def _asked(self, inputs: Mapping[str, Any]) -> tuple[Any, dict[str, float]]:
        context = replace(self._context, metrics={}, params={}, artefacts={}, datasets={})
        context.seed_everything()
        result = self._cls(self._config, context).run(**inputs)  # type: ignore[attr-defined]
        return result, dict(context.metrics)


def _check_inputs(held: _Held) -> None:
    changed = [name for name, digest in held.inputs_before.items() if held.inputs_after[name] != digest]
    if changed:
        what = f"{_at(held)} changed its input `{changed[0]}` in place: later steps would see it or not, as cached"
        raise ContractError(what, f"work on a copy: {changed[0]} = {changed[0]}.copy()")


def _check_kept(held: _Held) -> None:
    if held.not_kept is not None:
        raise held.not_kept
    for name, digest in held.first.items():
        if held.read_back[name] != digest:
            what = f"{_at(held)}: output `{name}` is not the same once it was kept and read back"
            raise ContractError(what, "give the type fields of plain values, or save and load that keep all of it")


def _check_again(held: _Held) -> None:
    if held.not_kept is not None:
        raise held.not_kept
    for name, digest in held.first.items():
        if held.again[name] != digest:
            what = f"{_at(held)}: output `{name}` differs when the step runs again on the same inputs and seed"
            raise ContractError(what, "use self.context.seed, no clock, no state; or cacheable = False and say why")


def _check_covered(held: _Held) -> None:
    known = {name.partition("#")[0] for name in reached(held.cls)}
    missing = sorted(name for name in held.ran if name not in known)
    if missing:
        what = f"{_at(held)} ran `{missing[0]}`, which its cache key does not cover: a change there would go unseen"
        raise ContractError(what, "call it by its name in the code itself: no import by text, no lookup in strings")


def _at(held: _Held) -> str:
    return f"`{held.cls.__name__}` ({where(held.cls)})"


def _kept(cls: type[Step], result: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Output to the digest of its kept form, and to that of the form read and kept again."""
    kinds, first, second = cls.outputs(), {}, {}
    for name, value in named_outputs(cls, result).items():
        form = form_of(kinds[name], f"`{cls.__name__}` ({where(cls)}), output `{name}`")
        with tempfile.TemporaryDirectory(prefix="crm-kept-") as scratch:
            one, other = Path(scratch) / "one", Path(scratch) / "other"
            one.mkdir()
            other.mkdir()
            form.write(value, one)
            form.write(form.read(one, type(value)), other)
            first[name], second[name] = folder_digest(one), folder_digest(other)
    return first, second


def _digests(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _digest(name, value) for name, value in values.items()}


def _digest(name: str, value: Any) -> str:
    """Differs once `value` was changed in place, comparable within this process."""
    quick = checksum(value)
    if quick is not None:
        return str(quick)
    with tempfile.TemporaryDirectory(prefix="crm-kept-") as scratch:
        form_of(type(value), f"input `{name}`").write(value, Path(scratch))
        return folder_digest(Path(scratch))


@contextmanager
def _watched(package: Path) -> Iterator[set[str]]:
    """The functions below `package` that run inside the block, in this thread, as `module:qualname`."""
    found: set[str] = set()
    codes: set[types.CodeType] = set()
    inside = str(package)

    def told(frame: types.FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code not in codes:
            codes.add(frame.f_code)
            if frame.f_code.co_filename.startswith(inside) and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
                name = frame.f_code.co_qualname.partition(".<locals>")[0]
                if not name.startswith("<"):
                    found.add(f"{frame.f_globals.get('__name__', '?')}:{name}")

    before = sys.getprofile()
    sys.setprofile(told)
    try:
        yield found
    finally:
        sys.setprofile(before)
