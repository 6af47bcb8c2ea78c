"""What a step reads from outside the run is part of its cache key, wherever the run was started."""

from __future__ import annotations

from pathlib import Path
from typing import final

import pytest

from carrental_mlops.core import Context, Pipeline, Step, StepConfig, step
from carrental_mlops.orchestration import zenml

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class FileConfig(StepConfig):
    source: str = "numbers.txt"

    def outside(self, root: Path) -> str:
        path = root / self.source
        return path.read_text() if path.is_file() else ""


class ReadFile(Step):
    config: FileConfig

    @final
    def run(self) -> str:
        return (self.context.root / self.config.source).read_text()


class Reading(Pipeline):
    name = "reading"
    read = step(ReadFile)

    def build(self) -> None:
        self.read.run()


def test_a_relative_source_that_changed_is_read_again_by_a_run_started_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo, elsewhere = tmp_path / "repo", tmp_path / "elsewhere"
    repo.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    def read(text: str) -> tuple[str, str]:
        (repo / "numbers.txt").write_text(text)
        done = zenml.run(Reading, {}, Context(service="svc", root=repo))
        return done.steps[0].status, done.load("read")

    assert read("1 2") == ("completed", "1 2")
    assert read("1 2") == ("cached", "1 2")
    assert read("1 2 3") == ("completed", "1 2 3")
