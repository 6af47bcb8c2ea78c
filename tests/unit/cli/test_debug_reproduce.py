"""`crm debug` on real ZenML stores; what `crm reproduce` refuses. Equal digests: tests/e2e/test_mlproject.py."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def ran(crm, tiny_repo: Path) -> Path:
    told = crm("run", "counting")
    assert told.code == 0, told.err
    return tiny_repo


def _stored_values(root: Path) -> list[Path]:
    return list((root / ".crm" / "zenml").rglob("value.json"))


def test_debug_loads_runs_shells_and_refuses(crm, ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.loads(crm("debug", "latest", "add", "--json").out)
    assert {(i["name"], i["type"]) for i in told["inputs"]} == {("left", "int"), ("right", "int")}
    assert all(len(i["digest"]) == 64 for i in told["inputs"])
    assert told["source"].rpartition(":")[0].endswith("steps.py")

    for short in (told["run_id"][:-3], told["run_id"][-6:]):
        table = crm("debug", short, "add")
        assert table.code == 0 and "left" in table.out and "sha256" in table.out

    again = json.loads(crm("debug", told["run_id"], "add", "--run", "--json").out)
    assert again["metrics"] == {"total": 6.0} and again["outputs"][0]["type"] == "int"

    monkeypatch.setattr("sys.stdin", io.StringIO("print(inputs['left'], context.step, step.run(**inputs))\n"))
    assert "6 add 6" in crm("debug", "latest", "add", "--shell").out

    monkeypatch.setattr("sys.stdin", io.StringIO("p left * 7\nc\n"))
    before = signal.getsignal(signal.SIGINT)
    assert "42" in crm("debug", "latest", "add", "--pdb").out
    assert signal.getsignal(signal.SIGINT) is before

    typo = crm("debug", "latest", "dubble")
    assert typo.code == 1 and "has no step `dubble`" in typo.err and "`double`" in typo.err
    unknown = crm("debug", told["run_id"][:-6] + "zzzzzz", "add")
    assert unknown.code == 1 and f"rename it to `{told['run_id']}`" in unknown.err
    assert crm("debug", "latest", "add", "--pdb", "--run").code == 2


def test_debug_refuses_an_input_that_is_not_the_one_written(crm, ran: Path) -> None:
    for path in _stored_values(ran):
        path.write_text("999")
    told = crm("debug", "latest", "add")
    assert told.code == 1 and "is corrupt" in told.err


def test_a_failed_step_is_taken_up_again_and_a_step_never_reached_says_so(crm, tiny_repo: Path) -> None:
    steps = next((tiny_repo / "src").iterdir()) / "steps.py"
    steps.write_text(steps.read_text().replace("return 2 * number", "return number // 0"))
    with pytest.raises(ZeroDivisionError):
        crm("run", "counting")
    told = json.loads(crm("debug", "latest", "double", "--json").out)
    assert [i["name"] for i in told["inputs"]] == ["number"]
    never = crm("debug", "latest", "add")
    assert never.code == 1 and "never began" in never.err and "double" in never.err


def test_reproduce_names_the_service_and_the_versions(crm, tiny_repo: Path) -> None:
    service = "tiny-" + next((tiny_repo / "src").iterdir()).name.rpartition("_")[2]
    other = crm("reproduce", "tin@1")
    assert other.code == 1 and f"crm reproduce {service}@1" in other.err
    none = crm("reproduce", f"{service}@3")
    assert none.code == 1 and "has no version `3`" in none.err and "crm run training" in none.err
