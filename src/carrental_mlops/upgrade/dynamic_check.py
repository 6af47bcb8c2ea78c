"""A repo run under a newer version, in a copy and an environment that are thrown away: nothing of the repo changes."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from carrental_mlops.errors import CrmError
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.override_report import OverrideFinding, OverrideReport, Verdict, report
from carrental_mlops.upgrade.trial import Trial, junit_results, prepared

_OUTPUT = 2000
"""Characters of an output's end that the report keeps."""


@dataclass(frozen=True)
class Check:
    """One thing that was tried."""

    cls: str
    """The repo's class, its module where it was imported, or its test."""
    hook: str
    """`TrainStep.sample_weight`; empty where it is about no hook."""
    case: str
    """What had to hold."""
    error: str = ""
    """Why it did not; empty where it held."""
    place: str = ""
    """`file:line` in the repo of what failed; empty where it is not known."""


@dataclass(frozen=True)
class DynamicResult:
    """What a repo did under a newer version."""

    version: str
    environment: str
    """In which packages it ran, in words."""
    seconds: float
    imports: tuple[Check, ...] = ()
    """Modules of the repo that cannot be imported."""
    overrides: tuple[tuple[str, str, str], ...] = ()
    """Class, hook and place of each override that the import found."""
    checks: tuple[Check, ...] = ()
    """Contracts of pipelines, services and features, and the cases of the defaults held against the overrides."""
    tests: tuple[Check, ...] = ()
    """The repo's own tests."""
    problems: tuple[str, ...] = ()
    """What could not be tried, and why."""

    @property
    def failed(self) -> tuple[Check, ...]:
        """Everything that did not hold."""
        return tuple(c for c in (*self.imports, *self.checks, *self.tests) if c.error)

    def judged(self, finding: OverrideFinding) -> OverrideFinding:
        """A finding with what the run says of it: `unproven` becomes `look` where every case held, else `break`."""
        classes = set(finding.cls.split(", "))
        held = [c for c in self.checks if finding.hook and c.hook == finding.hook and c.cls in classes]
        wrong = next((c for c in held if c.error), None)
        if wrong is not None and finding.verdict != "break":
            what = f"under {self.version} it does not hold that it {wrong.case}: {wrong.error}"
            verdict: Verdict = "look" if finding.verdict == "fine" else "break"
            return replace(
                finding, verdict=verdict, otherwise=what, mend=f"{wrong.place or finding.place}: mend the answer"
            )
        if finding.verdict == "unproven" and held:
            told = f"run under {self.version}: {', '.join(c.case for c in held)}"
            return replace(finding, verdict="look", details=(*finding.details, told), otherwise="", mend="")
        return finding

    def beyond(self, findings: Sequence[OverrideFinding]) -> list[OverrideFinding]:
        """What only the run found; where the sources show a break already, what fails for it is not said twice."""
        known = {f.place for f in findings}
        found = [self._unseen(*override) for override in self.overrides if override[2] not in known]
        if any(f.verdict == "break" for f in findings):
            return found
        for check in self.failed:
            if not check.hook:
                what = f"`{check.cls}` {check.case}, but not under {self.version}: {check.error}"
                mend = f"{check.place or check.cls}: mend it, and run crm upgrade --check again"
                found.append(OverrideFinding("break", check.place, check.cls, "", otherwise=what, mend=mend))
        return found

    def _unseen(self, cls: str, hook: str, place: str) -> OverrideFinding:
        what = "this override is made while the module runs, so the sources do not show it: no default was compared"
        return OverrideFinding("look", place, cls, hook, otherwise=what, mend=f"{place}: write it as a class")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def markdown_lines(self) -> Iterator[str]:
        """A section of the override report."""
        yield f"### Run under {self.version}"
        yield ""
        yield f"In {self.environment}, {self.seconds:.0f} s."
        yield ""
        for name, found in (("imports", self.imports), ("contracts and cases", self.checks), ("tests", self.tests)):
            wrong = [check for check in found if check.error]
            if name != "imports" or wrong:
                yield f"- {name}: {len(found) - len(wrong)} held, {len(wrong)} failed"
            for check in wrong:
                owner = f"`{check.cls}`" + (f" `{check.hook}`" if check.hook else "")
                yield f"  - {check.place} {owner} {check.case}: {check.error}".replace("  - `", "  - ").rstrip()
        yield from (f"- not tried: {problem}" for problem in self.problems)


def held(
    root: Path,
    old: Material,
    new: Material,
    *,
    run_it: bool | None = None,
    limit_s: float = 600.0,
) -> OverrideReport:
    """The override report, with a run under the newer version where the sources leave something open.

    Args:
        root: the model repo.
        old: the version that it stands on.
        new: the version to go to.
        run_it: None runs the repo where a default that it overrides has changed and no source shows a break, which
            would end every import; True always, False never.
        limit_s: for the run (s).

    Raises:
        TemplateError: the newer version declares a change that this `crm` does not know.
    """
    found = report(root, old, new)
    verdicts = {finding.verdict for finding in found.findings}
    open_question = "break" not in verdicts and bool(verdicts & {"look", "unproven"})
    if run_it is False or (run_it is None and not open_question):
        return found
    return report(root, old, new, run(root, new, limit_s=limit_s))


def run(root: Path, new: Material, *, limit_s: float = 600.0, tests: bool = True) -> DynamicResult:
    """Run a repo under a newer version: its imports, contracts, overrides and own tests.

    The team's code runs as the caller, in a copy of the files that git knows or would add.

    Args:
        root: the model repo.
        new: the version to run under.
        limit_s: for all of it (s); what runs at the end of it is killed with its children, and said.
        tests: run the repo's own tests too.

    Returns:
        What was found; what could not be tried stands in `problems`.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crm-trial-") as folder:
        try:
            trial = prepared(root, new, Path(folder), limit_s)
        except CrmError as error:
            return DynamicResult(new.version, "no environment", time.monotonic() - began, problems=(error.what,))
        found = _probed(trial, DynamicResult(new.version, trial.environment, 0.0))
        if tests and not found.imports:
            found = _tested(trial, found)
        return replace(found, seconds=time.monotonic() - began)


def _probed(trial: Trial, result: DynamicResult) -> DynamicResult:
    answer = trial.folder / "answer.json"
    code, said = trial.run("-m", "carrental_mlops.testing.hook_probe", str(trial.repo), str(answer))
    if not answer.is_file():
        return replace(result, problems=(*result.problems, f"contracts and cases: {_why(code, said)}"))
    told = json.loads(answer.read_text(encoding="utf-8"))
    imports = (Check(i["module"], "", "can be imported", i["error"], i["place"]) for i in told["imports"])
    return replace(
        result,
        imports=tuple(imports),
        overrides=tuple((o["cls"], o["hook"], o["place"]) for o in told["overrides"]),
        checks=tuple(Check(**check) for check in told["checks"]),
    )


def _tested(trial: Trial, result: DynamicResult) -> DynamicResult:
    results = trial.folder / "tests.xml"
    code, said = trial.run("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={results}")
    if not results.is_file():
        return replace(result, problems=(*result.problems, f"the repo's own tests: {_why(code, said)}"))
    passed = "passes"
    found = tuple(Check(name, "", passed, error, place) for name, place, error in junit_results(results))
    if not found:
        return replace(result, problems=(*result.problems, "the repo has no tests of its own"))
    return replace(result, tests=found)


def _why(code: int | None, said: str) -> str:
    if code is None:
        return "stopped at the time limit"
    return f"exit code {code}: {said[-_OUTPUT:].strip()}"
