"""Steps that fail once, tell of success and failure, or are ZenML's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, final

from zen_tiny_steps import Make, Rows
from zenml import step as zen_step
from zenml.orchestrators.local.local_orchestrator import (
    LocalOrchestrator,
    LocalOrchestratorConfig,
    LocalOrchestratorFlavor,
)

from carrental_mlops.core import Pipeline, RunSummary, Step, step
from carrental_mlops.errors import DataError
from carrental_mlops.orchestration.zenml import from_zenml

TOLD: list[str] = []


class Flaky(Step):
    """Fails as often as `<root>/failures` says."""

    @final
    def run(self, *, rows: Rows) -> int:
        left = self.context.root / "failures"
        count = int(left.read_text()) if left.is_file() else 0
        if count:
            left.write_text(str(count - 1))
            raise DataError("not yet", "try again")
        return len(rows)


@zen_step
def halved(rows: Rows, share: float = 0.5) -> tuple[Annotated[Rows, "kept"], Annotated[int, "left_out"]]:
    """A team's ZenML step."""
    kept = int(len(rows) * share)
    return Rows(rows.iloc[:kept]), len(rows) - kept


class Options(Pipeline):
    name = "options"
    make = step(Make)
    halved = step(from_zenml(halved))
    flaky = step(Flaky)

    def build(self) -> None:
        parts = self.halved.run(rows=self.make.run())  # type: ignore[attr-defined]
        self.flaky.run(rows=parts.kept)

    @staticmethod
    def on_success(summary: RunSummary) -> None:
        TOLD.append(f"well: {[s.slot for s in summary.steps]}")

    @staticmethod
    def on_failure(summary: RunSummary, error: BaseException) -> None:
        TOLD.append(f"failed: {summary.steps[-1].slot}: {error.args[0]}")


def wrote(text: str) -> None:
    """Say something to the tests from a ZenML hook."""
    Path("told.txt").write_text(text)


def step_went_well() -> None:
    """A ZenML success hook."""
    wrote("zenml: well")


class CronConfig(LocalOrchestratorConfig):
    @property
    def is_schedulable(self) -> bool:
        return True


class CronOrchestrator(LocalOrchestrator):
    """Takes a schedule and starts nothing: that is for its clock to do."""

    def submit_pipeline(self, *args: object, **kwargs: object) -> None:
        return None


class CronFlavor(LocalOrchestratorFlavor):
    name = "cron"
    config_class = CronConfig
    implementation_class = CronOrchestrator
