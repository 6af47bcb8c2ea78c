"""Every command on bad input: an exit code that says whose fault it is, a mend, and no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from carrental_mlops.cli.main import Commands, app

IN_A_REPO = [
    ("run", "counting"),
    ("run", "counting", "--dry-run"),
    ("pipelines", "list"),
    ("pipelines", "show", "counting"),
    ("config", "show"),
    ("config", "explain", "service"),
    ("config", "set", "tier=1"),
    ("config", "validate"),
    ("config", "schema"),
    ("steps", "override", "train", "--hook", "sample_weight"),
    ("runs", "list"),
    ("runs", "compare", "a", "b"),
    ("runs", "diff", "a", "b"),
    ("debug", "latest", "count"),
    ("reproduce", "tiny@1"),
    ("report", "open", "--print"),
    ("serve",),
    ("serve", "--bundle", "fetched"),
    ("loadtest", "--dry-run"),
    ("client", "python"),
    ("client", "typescript"),
    ("audit", "show"),
    ("audit", "get", "a1"),
    ("audit", "ship", "--once"),
    ("audit", "prune"),
    ("replay", "--model", "champion"),
    ("render", "--env", "prod"),
    ("deploy", "--env", "prod", "--dry-run"),
    ("rollback", "--env", "prod", "--dry-run"),
    ("diff", "--env", "prod"),
    ("status", "--env", "prod"),
    ("logs", "--env", "prod"),
    ("approve", "--from", "staging", "--to", "prod"),
    ("promote", "--dry-run"),
    ("switch", "tiny", "--env", "prod"),
    ("diagnose", "tiny", "--env", "prod"),
    ("trace", "a1"),
    ("release", "list"),
    ("release", "show", "--env", "prod"),
    ("release", "diff", "prod-1", "prod-2"),
    ("image", "build", "--dry-run"),
    ("image", "scan"),
    ("infra", "plan", "--env", "prod"),
    ("infra", "apply", "--env", "prod", "--digest", "3f9a61c2"),
    ("infra", "destroy", "--env", "prod", "--dry-run"),
    ("infra", "unlock", "--env", "prod", "--lock", "7e0a41c9-7c1f-8d5c-9d3d-2f6d2f6a9f11"),
    ("infra", "cost", "--env", "prod"),
    ("check",),
    ("watch", "alerts"),
    ("watch", "rules"),
    ("watch", "runbook"),
    ("watch", "dashboard"),
    ("kpi", "show"),
    ("kpi", "report", "--out", "kpi"),
    ("kpi", "metrics"),
    ("kpi", "idea", "night-rentals", "--person", "ana@example.com"),
    ("kpi", "roadmap"),
]
"""Commands that read a model repo, with arguments that a good repo would take."""
FREE = [
    ("new", "--dry-run"),
    ("templates", "list"),
    ("templates", "show", "fraud-realtime"),
    ("templates", "new", "churn-batch", "--dry-run"),
    ("steps", "list"),
    ("steps", "show", "train"),
    ("hooks",),
    ("doctor",),
    ("release-notes",),
    ("infra", "subjects", "--project", "ds/tiny"),
    ("version",),
    ("upgrade", "waive", "Makefile", "--reason", "ours is right", "--until", "2027-01-31"),
    ("fleet", "status"),
    ("fleet", "page", "--out", "fleet.html"),
    ("fleet", "upgrade", "--dry-run"),
    ("fleet", "check"),
    ("fleet", "run", "--dry-run", "--", "true"),
    ("k6", "build"),
    ("audit", "key", "key"),
    ("report", "gate", "run.json"),
    ("propose", "run.json", "--host", "gitlab", "--project", "ds/a", "--dry-run"),
    ("report", "comment", "--run", "run.json"),
]
UNKNOWN = [
    ("templates", "show", "frod"),
    ("templates", "new", "churn-batch", "--from", "frod"),
    ("templates", "new", "Churn"),
    ("new", "--template", "frod", "--no-input"),
    ("new", "--set", "tier=9", "--no-input"),
    ("steps", "show", "trian"),
    ("steps", "override", "trian"),
    ("hooks", "trian"),
    ("hooks", "--fleet", "nowhere"),
    ("release-notes", "--to", "banana"),
    ("release-notes", "--from", "0.1.0", "--fleet", "nowhere"),
    ("pipelines", "show", "cuonting"),
    ("config", "explain", "teir"),
    ("config", "show", "--env", "prdo"),
    ("config", "set", "steps.count.upot=1"),
    ("config", "set", "nonsense"),
    ("run", "cuonting"),
    ("run", "counting", "--step", "duoble", "--dry-run"),
    ("run", "counting", "--set", "nonsense"),
    ("run", "counting", "--set", "steps.count.upto=many", "--engine", "local"),
    ("run", "counting", "--env", "prdo"),
    ("reproduce", "tiny"),
    ("report", "open", "--print"),
    ("serve", "--env", "prdo"),
    ("serve", "--set", "serving.prot=1"),
    ("serve", "--bundle", "nowhere"),
    ("serve", "--bundle", "nowhere", "--version", "1"),
    ("render", "--env", "prdo"),
    ("deploy", "--env", "prdo"),
    ("promote", "--env", "prdo"),
    ("promote", "--from", "prod"),
    ("approve", "--from", "prdo"),
    ("release", "show", "prdo-1"),
    ("switch", "anothers", "--env", "prod"),
    ("diagnose", "anothers", "--env", "prod"),
    ("infra", "cost", "--env", "prdo"),
    ("watch", "rules", "--env", "prdo"),
    ("kpi", "show", "nowhere"),
    ("kpi", "show", "--fleet", "nowhere"),
    ("kpi", "show", "--at", "yesterday"),
    ("kpi", "show", "--at", "2999-01-01"),
    ("kpi", "show", "--roadmap", "nowhere.yaml"),
    ("kpi", "show", "--costs", "nowhere.yaml"),
    ("kpi", "show", "--latest", "newest"),
    ("kpi", "idea", "Night Rentals", "--person", "ana@example.com"),
    ("kpi", "idea", "night-rentals", "--person", "ana@example.com", "--date", "2999-01-01"),
    ("kpi", "roadmap", "--roadmap", "nowhere.yaml"),
]
OTHERWISE = [("report", "open", "--print"), ("image", "scan"), ("check",)]
"""Do not read crm.yaml; `check` lists a broken one among what it finds."""
BROKEN = {
    "not YAML": "service: [\n",
    "no mapping": "- one\n",
    "empty": "",
    "a key twice": "service: a\nservice: b\n",
    "binary": "\x00\x01",
}
HEAVY = {"pandas", "zenml", "mlflow", "feast", "sklearn", "lightgbm"}
HELP = """
import sys
from carrental_mlops.cli.main import main
try:
    main({arguments!r})
except SystemExit as done:
    assert not done.code, done.code
print("loaded:", *sorted({heavy!r} & set(sys.modules)))
"""


def _leaves() -> list[tuple[str, ...]]:
    root = typer.main.get_command(app)
    found: list[tuple[str, ...]] = []
    for name in Commands.summaries:
        _, command, _ = root.resolve_command(typer.Context(root), [name])
        inner = getattr(command, "commands", None)
        found += [(name, sub) for sub in inner] if inner else [(name,)]
    return found


def _names(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return next(leaf for leaf in _leaves() if arguments[: len(leaf)] == leaf)


def test_every_command_is_tried_here() -> None:
    assert {_names(a) for a in [*IN_A_REPO, *FREE]} == set(_leaves())


def _told_off(told, code: int = 1) -> None:
    assert told.code == code, told.err
    assert told.err.startswith("error: ") and "\nFix: " in told.err and "Traceback" not in told.err


@pytest.mark.parametrize("arguments", IN_A_REPO, ids=" ".join)
def test_outside_a_repo_a_command_says_so(
    crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = crm(*arguments)
    _told_off(told)
    assert "not inside a model repo" in told.err
    _told_off(crm(*arguments, "--repo", str(tmp_path / "nowhere")))


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("arguments", [a for a in IN_A_REPO if a not in OTHERWISE], ids=" ".join)
def test_a_broken_crm_yaml_is_named(crm, tiny_repo: Path, arguments: tuple[str, ...], what: str) -> None:
    (tiny_repo / "config" / "crm.yaml").write_text(BROKEN[what])
    told = crm(*arguments)
    if arguments[:2] == ("config", "show") and what == "empty":
        assert told.code == 0  # nothing is set, and that is what it shows
        return
    _told_off(told)
    assert "crm.yaml" in told.err or "is missing" in told.err


@pytest.mark.parametrize("arguments", UNKNOWN, ids=" ".join)
def test_an_unknown_name_or_value_is_told_off(crm, tiny_repo: Path, arguments: tuple[str, ...]) -> None:
    told = crm(*arguments)
    assert told.code in (1, 2), told.err
    assert "Traceback" not in told.err and ("Fix: " in told.err or "Error: " in told.err)


@pytest.mark.parametrize("leaf", _leaves(), ids=" ".join)
def test_an_unknown_option_is_a_usage_error(crm, leaf: tuple[str, ...]) -> None:
    told = crm(*leaf, "--no-such-option")
    assert told.code == 2 and "--no-such-option" in told.err and "Traceback" not in told.err


@pytest.mark.parametrize("leaf", _leaves(), ids=" ".join)
def test_help_shows_an_example_and_loads_nothing_heavy(leaf: tuple[str, ...], tmp_path: Path) -> None:
    code = HELP.format(arguments=[*leaf, "--help"], heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"crm {' '.join(leaf)}" in done.stdout.partition("Example: ")[2]
    assert done.stdout.splitlines()[-1] == "loaded:"
