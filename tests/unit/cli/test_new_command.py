from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from carrental_mlops.cli.main import main

CRM = "import sys; from carrental_mlops.cli.main import main; sys.exit(main(sys.argv[1:]))"


def crm(args: list[str]) -> int:
    try:
        return main(args)
    except SystemExit as done:
        return int(done.code or 0)


def test_json_names_the_folder_and_the_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crm(["new", "--json", "--dir", str(tmp_path), "--name", "night-watch", "--set", "tier=3"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(tmp_path / "night-watch")
    assert told["answers"]["tier"] == "3"
    assert len(told["commit"]) == 40


def test_an_unknown_template_exits_1_with_the_closest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crm(["new", "--template", "fraud-real", "--no-input", "--dir", str(tmp_path)]) == 1
    assert "Fix: rename it to `fraud-realtime`" in capsys.readouterr().err


def test_templates_list_and_show_name_the_questions(capsys: pytest.CaptureFixture[str]) -> None:
    assert crm(["templates", "list"]) == 0
    assert "fraud-realtime" in capsys.readouterr().out
    assert crm(["templates", "show", "fraud-realtime", "--json"]) == 0
    asked = [q["name"] for q in json.loads(capsys.readouterr().out)["questions"]]
    assert asked == ["name", "package", "owner", "tier", "ci"]


@pytest.mark.slow
def test_a_terminal_is_asked_until_the_answer_is_allowed(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"Bad Name\nnight-watch\n\n\n9\n3\n\n")
    done = subprocess.run(
        [sys.executable, "-c", CRM, "new", "--dir", str(tmp_path)],
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert "must be kebab-case" in done.stderr
    assert "must be one of 1, 2, 3" in done.stderr
    answers = json.loads((tmp_path / "night-watch" / ".crm.json").read_text())["answers"]
    assert answers["package"] == "night_watch"
    assert answers["tier"] == "3"
