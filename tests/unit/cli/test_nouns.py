from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import typer

from carrental_mlops import __version__
from carrental_mlops.cli.main import Commands, app


def _commands():
    root = typer.main.get_command(app)
    context = typer.Context(root)
    for name in Commands.summaries:
        if not _landed(name):
            continue
        _, command, _ = root.resolve_command(context, [name])
        inner = getattr(command, "commands", None)
        yield from ([(f"{name} {sub}", found) for sub, found in inner.items()] if inner else [(name, command)])


def _landed(name: str) -> bool:
    return (Path(__file__).parents[3] / "src/carrental_mlops/cli" / f"{name}.py").is_file()


def test_every_help_has_an_example_that_names_the_command() -> None:
    bare = [name for name, command in _commands() if f"crm {name}" not in f"{command.epilog} {command.help}"]
    assert bare == []


def test_every_command_stands_in_the_page_of_commands() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/commands.md").read_text()
    assert [name for name, _ in _commands() if f"crm {name}" not in page] == []


def test_every_command_listed_has_a_place() -> None:
    assert Commands.summaries.keys() == Commands.places.keys()


def test_an_unknown_command_names_the_nearest(crm) -> None:
    told = crm("pipline")
    assert told.code == 2 and "'pipelines'" in told.err


def test_version_is_the_package_version(crm) -> None:
    assert crm("version").out == f"{__version__}\n"


def test_completion_of_nouns_and_of_their_commands(crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_CRM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "crm pipe")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert "pipelines" in crm().out
    monkeypatch.setenv("COMP_WORDS", "crm pipelines sh")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert "show" in crm().out


def test_pipelines_list_shows_the_repos_own(crm, tiny_repo: Path) -> None:
    found = json.loads(crm("pipelines", "list", "--json").out)
    assert {p["name"]: p["steps"] for p in found} == {
        "counting": ["count", "double", "add"],
        "doubling": ["count", "twice"],
    }


def test_pipelines_show_draws_rails_from_a_step_to_those_that_take_it(crm, tiny_repo: Path) -> None:
    rows = crm("pipelines", "show", "counting").out.splitlines()
    assert [row[:3] for row in rows] == ["●  ", "├─●", "●─╯"]
    assert "left ← double" in rows[2] and "right ← count.low" in rows[2]


def test_pipelines_show_as_mermaid_svg_and_json(crm, tiny_repo: Path) -> None:
    assert "double -- left --> add" in crm("pipelines", "show", "counting", "--format", "mermaid").out
    drawn = ElementTree.fromstring(crm("pipelines", "show", "counting", "--format", "svg").out)
    assert sum(node.tag.endswith("}rect") for node in drawn.iter()) == 4
    steps = json.loads(crm("pipelines", "show", "counting", "--format", "json").out)["steps"]
    assert steps[1]["inputs"]["number"] == {"step": "count", "output": "high", "type": "int"}


def test_config_show_says_which_line_set_a_value(crm, tiny_repo: Path) -> None:
    row = next(line for line in crm("config", "show").out.splitlines() if line.startswith("steps.count.upto"))
    assert row.split() == ["steps.count.upto", "3", "config/crm.yaml:12"]


def test_config_explain_prints_docstring_type_default_and_place(crm, tiny_repo: Path) -> None:
    told = crm("config", "explain", "steps.count.upto")
    assert told.code == 0, told.err
    for part in ("How far to count (rows).", "type     int", "default  5", "now      3 (config/crm.yaml:12)"):
        assert part in told.out


def test_config_explain_of_a_top_level_key(crm, tiny_repo: Path) -> None:
    assert "99th percentile" in crm("config", "explain", "slo.p99_ms").out


@pytest.mark.parametrize(
    ("key", "kind", "doc"),
    [
        ("columns", "Columns", "The role each column plays"),
        ("zenml", "ZenML", "An existing ZenML"),
        ("mlflow", "MLflow", "An existing MLflow"),
        ("feast", "Feast", "Where stored features are put"),
        ("serving", "Serving", "How the service runs."),
        ("zenml.steps", "dict[str, StepOptions]", "Slot name to retries and resources."),
        ("zenml.steps.add", "StepOptions", "What ZenML and its stack give one step."),
        ("zenml.steps.add.memory", "str | None", "Memory that the stack reserves"),
        ("columns.rename.TX_ID", "str", "Source column name to the name used here."),
        ("latency_class", "Literal['real-time', 'near-real-time', 'batch']", "`real-time` (p99 200 ms)"),
        ("pipelines.counting.steps.count.upto", "int", "How far to count (rows)."),
    ],
)
def test_config_explain_says_type_and_meaning_of_sections_too(
    crm, tiny_repo: Path, key: str, kind: str, doc: str
) -> None:
    told = crm("config", "explain", key)
    assert told.code == 0, told.err
    assert told.out.startswith(f"{key}: {doc}") and f"  type     {kind}\n" in told.out


def test_config_explain_of_a_key_below_a_value_says_where_the_keys_end(crm, tiny_repo: Path) -> None:
    told = crm("config", "explain", "slo.p99_ms.most")
    assert told.code == 1 and "`slo.p99_ms` is one value" in told.err


def test_config_explain_of_an_unknown_key_names_the_nearest(crm, tiny_repo: Path) -> None:
    told = crm("config", "explain", "columns.lable")
    assert told.code == 1 and "`label`" in told.err


def test_config_set_keeps_comments_and_refuses_what_no_step_takes(crm, tiny_repo: Path) -> None:
    path = tiny_repo / "config" / "crm.yaml"
    path.write_text("# who we are\n" + path.read_text())
    before = path.read_text()
    assert crm("config", "set", "steps.count.upto=7", "--dry-run").code == 0
    assert path.read_text() == before
    assert crm("config", "set", "steps.count.upto=7").code == 0
    assert "upto: 7" in path.read_text() and path.read_text().startswith("# who we are")
    refused = crm("config", "set", "steps.count.up_to=8")
    assert refused.code == 1 and "upto" in refused.err
    assert "up_to" not in path.read_text()


def test_config_validate_names_file_line_and_key(crm, tiny_repo: Path) -> None:
    assert crm("config", "validate").out == "local: ok\nprod: ok\n"
    path = tiny_repo / "config" / "crm.yaml"
    path.write_text(path.read_text().replace("upto: 3", "upto: many"))
    told = crm("config", "validate")
    assert told.code == 1 and "crm.yaml:12" in told.err and "steps.count.upto" in told.err


def test_config_schema_holds_the_settings_of_the_repos_steps(crm, tiny_repo: Path) -> None:
    made = json.loads(crm("config", "schema").out)
    assert made["properties"]["steps"]["properties"]["count"]["properties"]["upto"]["type"] == "integer"


def test_config_schema_accepts_the_file_and_refuses_an_unknown_setting(crm, tiny_repo: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    made = json.loads(crm("config", "schema").out)
    value = json.loads(crm("config", "show", "--json").out)
    jsonschema.validate(value, made)
    value["steps"]["count"]["uptoo"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, made)


def test_report_open_prints_the_latest(crm, tiny_repo: Path) -> None:
    assert "crm run training" in crm("report", "open", "--print").err
    reports = tiny_repo / ".crm" / "reports"
    (reports / "old").mkdir(parents=True)
    (reports / "old" / "report.html").write_text("old")
    (reports / "new.html").write_text("new")
    import os

    os.utime(reports / "old" / "report.html", (1, 1))
    assert crm("report", "open", "--print").out.strip() == str(reports / "new.html")


def test_doctor_finds_the_repo_well(crm, tiny_repo: Path) -> None:
    told = crm("doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(told.out)}
    assert found["config"]["ok"] and found["state"]["ok"] and found["python"]["ok"]


def test_doctor_gives_the_mend_of_a_broken_config(crm, tiny_repo: Path) -> None:
    path = tiny_repo / "config" / "crm.yaml"
    path.write_text(path.read_text() + "teir: 1\n")
    told = crm("doctor")
    assert told.code == 1 and "unknown key `teir`" in told.out and "rename it to `tier`" in told.out


def test_doctor_names_a_tool_that_is_missing(crm, tiny_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    told = crm("doctor")
    assert told.code == 1 and "uv: not on PATH" in told.out and "pip install uv" in told.out


def test_a_package_that_is_not_there_names_the_line(crm, tiny_repo: Path) -> None:
    path = tiny_repo / "config" / "crm.yaml"
    path.write_text(path.read_text().replace("package: tiny", "package: huge"))
    told = crm("pipelines", "list")
    assert told.code == 1 and "crm.yaml:2" in told.err


def test_an_import_that_is_not_installed_is_named_with_its_mend(crm, tiny_repo: Path) -> None:
    pipelines = next((tiny_repo / "src").iterdir()) / "pipelines.py"
    pipelines.write_text("import no_such_library\n")
    told = crm("pipelines", "list")
    assert told.code == 1 and "`no_such_library`" in told.err and "Fix: uv sync" in told.err


def test_broken_python_is_named_with_file_and_line(crm, tiny_repo: Path) -> None:
    pipelines = next((tiny_repo / "src").iterdir()) / "pipelines.py"
    pipelines.write_text("x = 1\ndef broken(:\n")
    told = crm("pipelines", "list")
    assert told.code == 1 and "pipelines.py:2" in told.err


def test_pipelines_show_wraps_to_a_terminal_and_not_in_a_pipe(tiny_repo: Path) -> None:
    import fcntl
    import os
    import pty
    import struct
    import subprocess
    import sys
    import termios

    crm = [sys.executable, "-c", "import sys; from carrental_mlops.cli.main import main; sys.exit(main(sys.argv[1:]))"]
    env = {k: v for k, v in os.environ.items() if k != "COLUMNS"}  # as given to the child: readline sets it behind us
    show = [*crm, "pipelines", "show", "counting"]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    subprocess.run(show, stdout=theirs, env=env, check=True)
    os.close(theirs)
    narrow = os.read(ours, 65536).decode().splitlines()
    os.close(ours)
    assert len(narrow) == 4 and max(map(len, narrow)) <= 40
    piped = subprocess.run(show, capture_output=True, text=True, env=env, check=True).stdout.splitlines()
    assert len(piped) == 3 and max(map(len, piped)) > 40


def test_pipelines_show_takes_json_as_every_command_that_reads(crm, tiny_repo: Path) -> None:
    assert json.loads(crm("pipelines", "show", "counting", "--json").out)["dropped"] == {}
