"""Commands call an environment, a model's version, a fleet and a place that is asked by one name each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from carrental_mlops.cli.fleet_place import PLACE
from carrental_mlops.cli.main import Commands, app
from carrental_mlops.config import Columns, RepoConfig
from carrental_mlops.config.repo import from_to
from carrental_mlops.errors import ConfigError

CLUSTER = (
    "deploy",
    "rollback",
    "promote",
    "approve",
    "status",
    "logs",
    "switch",
    "diagnose",
    "diff",
    "render",
    "trace",
)


def options(name: str) -> dict[str, str]:
    """Option to its help, of the command `name`."""
    root = typer.main.get_command(app)
    _, command, _ = root.resolve_command(typer.Context(root), [name])
    leaves = getattr(command, "commands", {"": command}).values()
    return {opt: str(p.help) for leaf in leaves for p in leaf.params for opt in p.opts if hasattr(p, "help")}


@pytest.mark.parametrize("name", CLUSTER)
def test_a_command_about_an_environment_takes_env(name: str) -> None:
    assert "--env" in options(name)


@pytest.mark.parametrize("name", Commands.summaries)
def test_a_version_of_a_model_is_asked_for_as_version(name: str) -> None:
    told = options(name)
    assert "--model" not in told or name == "replay", "replay takes `champion` too"
    assert "registered model" not in " ".join(text for option, text in told.items() if option != "--version")


@pytest.mark.parametrize("name", ("promote", "diagnose"))
def test_prometheus_is_named_as_prometheus(name: str) -> None:
    assert "watch.prometheus" in options(name)["--prometheus"]


@pytest.mark.parametrize("name", ("fleet", "hooks", "kpi", "release-notes"))
def test_a_fleet_is_named_as_fleet_and_is_one_place(name: str) -> None:
    assert options(name)["--fleet"].startswith(PLACE)


@pytest.mark.parametrize(
    "name", [n for n in CLUSTER if n not in ("logs", "diff", "render", "diagnose", "trace", "status")]
)
def test_what_changes_something_can_be_tried(name: str) -> None:
    assert {"--dry-run", "--json"} <= options(name).keys()


def config(*environments: str) -> RepoConfig:
    return RepoConfig(
        service="tiny", package="tiny", owner="a@example.com", tier=2, environments=environments,
        columns=Columns(id="a", time="b", label="c", entities=()),
    )  # fmt: skip


def test_a_release_goes_from_the_environment_before_the_last_to_the_last() -> None:
    assert from_to(config("here", "acceptance", "live"), None, None) == ("acceptance", "live")
    assert from_to(config("local", "dev", "staging", "prod"), None, "staging") == ("dev", "staging")
    assert from_to(config("local", "dev", "staging", "prod"), "dev", "prod") == ("dev", "prod")


@pytest.mark.parametrize(
    ("environments", "source", "target", "said"),
    [
        (("local", "staging", "prod"), None, "prdo", "no environment `prdo`"),
        (("local", "staging", "prod"), "stagin", None, "no environment `stagin`"),
        (("local", "staging", "prod"), "local", None, "local is this machine"),
        (("local", "staging", "prod"), None, "staging", "no environment before staging"),
        (("local", "prod"), None, None, "no environment before prod"),
        (("local", "staging", "prod"), "prod", "prod", "no environment before prod"),
    ],
)
def test_a_promotion_to_or_from_nowhere_is_told_off(
    environments: tuple[str, ...], source: str | None, target: str | None, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as told:
        from_to(config(*environments), source, target)
    assert told.value.fix


def test_promote_says_which_environments_there_are(crm, tiny_repo: Path) -> None:
    told = crm("promote", "--env", "prdo")
    assert told.code == 1 and "choose one of: local, prod" in told.err


def test_promote_reads_the_releases_of_the_environment_that_it_takes_from(crm, tiny_repo: Path) -> None:
    crm_yaml = tiny_repo / "config" / "crm.yaml"
    crm_yaml.write_text(crm_yaml.read_text().replace("[local, prod]", "[local, staging, prod]"))
    (tiny_repo / "config" / "staging.yaml").write_text("deploy: {releases: of-staging/}\n")
    stored = tiny_repo / "of-staging" / "staging"
    stored.mkdir(parents=True)
    (stored / "1.json").write_text(json.dumps({"no": "release"}))
    (stored / "1").mkdir()
    applied = {"release": "staging-1", "state": "applied", "at": "2026-11-21T12:00:00Z", "by": "ann"}
    (stored / "1" / "20261121T120000.000000Z-0.json").write_text(json.dumps(applied))
    told = crm("approve", "--from", "staging", "--to", "prod")
    assert told.code == 1 and "of-staging/staging/1.json is not a release" in told.err
