from __future__ import annotations

import json
from pathlib import Path

from carrental_mlops.errors import GateRefused


def test_run_prints_progress_on_stderr_and_the_summary_on_stdout(crm, tiny_repo: Path) -> None:
    told = crm("run", "counting", "--engine", "local")
    assert told.code == 0, told.err
    assert [line.split()[1] for line in told.err.splitlines()] == ["count", "double", "add"]
    assert "counting: 3 steps" in told.out and "total    6" in told.out


def test_run_json_is_all_that_stands_on_stdout(crm, tiny_repo: Path) -> None:
    told = crm("run", "counting", "--engine", "local", "--json")
    summary = json.loads(told.out)
    assert "add" in told.err
    assert summary["metrics"] == {"counted": 3.0, "total": 6.0}
    assert [step["status"] for step in summary["steps"]] == ["completed"] * 3


def test_run_set_wins_over_the_file(crm, tiny_repo: Path) -> None:
    told = crm("run", "counting", "--engine", "local", "--json", "--set", "steps.count.upto=10")
    assert json.loads(told.out)["metrics"]["total"] == 20


def test_run_env_reads_that_overlay(crm, tiny_repo: Path) -> None:
    told = crm("run", "counting", "--engine", "local", "--json", "--env", "prod")
    assert json.loads(told.out)["metrics"]["counted"] == 7


def test_run_step_stops_after_that_step(crm, tiny_repo: Path) -> None:
    told = crm("run", "counting", "--engine", "local", "--step", "double", "--json")
    assert [step["slot"] for step in json.loads(told.out)["steps"]] == ["count", "double"]


def test_run_in_another_folder_takes_the_repo_by_option(crm, tiny_repo: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert crm("run", "counting", "--engine", "local").code == 1
    assert crm("run", "counting", "--engine", "local", "--repo", str(tiny_repo)).code == 0


def test_dry_run_lists_the_steps_and_runs_none(crm, tiny_repo: Path) -> None:
    told = crm("run", "counting", "--dry-run", "--step", "double", "--engine", "local")
    assert told.code == 0, told.err
    assert "count: tiny_" in told.out and "upto = 3" in told.out and "add" not in told.out
    assert not (tiny_repo / ".crm").exists()


def test_an_unknown_pipeline_names_the_nearest(crm, tiny_repo: Path) -> None:
    told = crm("run", "countin", "--engine", "local")
    assert told.code == 1 and "no pipeline `countin`" in told.err and "`counting`" in told.err


def test_an_unknown_step_names_the_nearest(crm, tiny_repo: Path) -> None:
    told = crm("run", "counting", "--engine", "local", "--step", "doubl")
    assert told.code == 1 and "`double`" in told.err


def test_a_wrong_engine_is_a_usage_error(crm, tiny_repo: Path) -> None:
    assert crm("run", "counting", "--engine", "spark").code == 2


def test_ctrl_c_in_a_step_exits_130_and_marks_the_step(crm, tiny_repo: Path) -> None:
    told = crm("run", "counting", "--engine", "local", "--set", "steps.count.upto=60")
    assert told.code == 130
    assert "✗ add" in told.err and "Traceback" not in told.err


def test_a_gate_that_says_no_exits_4_with_its_reasons(crm, tiny_repo: Path) -> None:
    package = next((tiny_repo / "src").iterdir())
    (package / "pipelines.py").write_text(f"""\
from typing import final
from carrental_mlops.core import Pipeline, Step, step
from carrental_mlops.steps import Evaluation, GateStep
from {package.name}.steps import Count


class Judge(Step):
    @final
    def run(self, *, number: int) -> Evaluation:
        return Evaluation({{"recall": 0.1}})


class Judged(Pipeline):
    name = "judged"
    count = step(Count)
    judge = step(Judge)
    gate = step(GateStep)

    def build(self) -> None:
        self.gate.run(evaluation=self.judge.run(number=self.count.run().high))
""")
    told = crm("run", "judged", "--engine", "local", "--set", "steps.gate.minimum={recall: 0.5}", "--json")
    assert told.code == GateRefused.exit_code == 4, told.err
    assert "recall" in json.loads(told.out)["refused"] and "crm report open" in told.err


def test_dry_run_names_the_first_environment_whatever_it_is_called(crm, tiny_repo: Path) -> None:
    path = tiny_repo / "config" / "crm.yaml"
    path.write_text(path.read_text().replace("environments: [local, prod]", "environments: [dev, prod]"))
    assert crm("run", "counting", "--dry-run").out.startswith("would run counting (Counting) on zenml in dev:")
    assert json.loads(crm("run", "counting", "--dry-run", "--json").out)["env"] == "dev"
