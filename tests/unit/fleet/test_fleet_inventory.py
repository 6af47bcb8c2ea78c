"""Which repos make a fleet, and what the commands do with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_fleet import fleet_of, two_versions

from carrental_mlops import __version__
from carrental_mlops.cli.main import main
from carrental_mlops.errors import ConfigError
from carrental_mlops.fleet.hosting import Host, Kind, MergeRequest, Project, Proposal, without_tokens
from carrental_mlops.fleet.inventory import read_fleet


@pytest.fixture(scope="module")
def repos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    old, _, _ = two_versions(folder / "versions")
    fleet_of(folder / "repos", old, "pay", "fees")
    fleet_of(folder / "repos" / "deep" / "er", old, "near")
    (folder / "repos" / "notes").mkdir()
    return folder / "repos"


class Named(Host):
    """A host of two repos; nothing is asked over a network."""

    def project(self, path: str) -> Project:
        return Project(path, "main", f"https://git.example.com/{path}.git", f"https://git.example.com/{path}")

    def projects(self, group: str, topic: str | None) -> Iterator[Project]:
        yield from (self.project(f"{group}/{name}") for name in ("pay", "ride"))

    def find(self, project: str, branch: str) -> list[MergeRequest]:
        raise NotImplementedError

    def state(self, project: str, number: int) -> MergeRequest:
        raise NotImplementedError

    def open(self, project: str, proposal: Proposal) -> MergeRequest:
        raise NotImplementedError

    def git_header(self, url: str) -> str | None:
        raise NotImplementedError


def _named(kind: Kind, url: str | None) -> Host:
    return Named()


def test_a_folder_gives_every_repo_below_it(repos: Path) -> None:
    found = read_fleet(str(repos), canary=["p*"])
    assert [(one.name, one.canary) for one in found.members] == [
        ("deep/er/near", False),
        ("fees", False),
        ("pay", True),
    ]
    assert [one.name for one in read_fleet(str(repos / "pay")).members] == ["pay"]
    assert [one.name for one in found.only(["near", "f*"]).members] == ["deep/er/near", "fees"]


def test_a_file_names_folders_projects_and_a_group(repos: Path) -> None:
    path = repos.parent / "fleet.yaml"
    path.write_text(
        "host: {kind: gitlab, group: ds}\ncanary: [pay]\nservices:\n- path: repos/fees\n- project: other/pay\n"
    )
    found = read_fleet(str(path), open_host=_named)
    assert [(one.name, one.canary) for one in found.members] == [
        ("fees", False),
        ("other/pay", True),
        ("ds/pay", True),
        ("ds/ride", False),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: [{path: x, project: y}]", "services.0: an entry has `path` or `project`"),
        ("services: [{project: y}]", "`project` needs `host`"),
        ("services: []", "names no repo"),
        ("srvices: []", "srvices: unknown key"),
        ("host: {kind: svn, group: a}", "host.kind"),
        ("host: {kind: gitlab, group: a, url: 'https://oauth2:x@git.example.com'}", "does not belong in this file"),
        ("services: [{path: nowhere}]", r"nowhere has no \.crm\.json"),
        ("services: [", "not YAML"),
        ("- a", "valid dictionary"),
        ("", "valid dictionary"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_fleet(str(path), open_host=_named)


def test_a_repo_named_twice_is_refused(repos: Path) -> None:
    path = repos.parent / "twice.yaml"
    path.write_text("services: [{path: repos/pay}, {path: ./repos/pay}]\n")
    with pytest.raises(ConfigError, match="named twice: pay"):
        read_fleet(str(path))


def test_a_place_without_repos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no repo that crm new made"):
        read_fleet(str(tmp_path))
    with pytest.raises(ConfigError, match="no folder and no file"):
        read_fleet(str(tmp_path / "nowhere"))


def test_a_pattern_that_fits_nothing_is_refused(repos: Path) -> None:
    with pytest.raises(ConfigError, match="no repo of the fleet is called pya"):
        read_fleet(str(repos)).only(["pya"])


def test_what_runs_a_repos_code_gets_no_token() -> None:
    given = {"GITLAB_TOKEN": "a", "GITHUB_TOKEN": "b", "CI_JOB_TOKEN": "c", "PATH": "/bin"}
    assert without_tokens(given) == {"PATH": "/bin"}


def test_run_tells_each_repos_end_and_fails_where_one_fails(
    repos: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITLAB_TOKEN", "secret-of-mine")
    script = "cat mine.txt; echo token:$GITLAB_TOKEN; test $(cat mine.txt) != fees"
    with pytest.raises(SystemExit) as ended:
        main(["fleet", "run", "--fleet", str(repos), "--only", "[fp]*", "--json", "--", "sh", "-c", script])
    told = {one["repo"]: one for one in json.loads(capfd.readouterr().out)}
    assert ended.value.code == 1
    assert (told["pay"]["code"], told["pay"]["said"]) == (0, "pay\ntoken:\n")
    assert told["fees"]["code"] == 1 and "secret-of-mine" not in json.dumps(told)


def test_run_is_cut_off_at_its_limit_and_names_a_missing_program(
    repos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for command, said in ((["sleep", "20"], "cut off"), (["no-such-program"], "No such file")):
        with pytest.raises(SystemExit) as ended:
            main(["fleet", "run", "--fleet", str(repos / "pay"), "--limit", "1", "--", *command])
        assert ended.value.code == 1 and said in capfd.readouterr().out


def test_a_dry_run_runs_nothing(repos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fleet", "run", "--fleet", str(repos / "pay"), "--dry-run", "--", "touch", "made"])
    assert "pay: touch made" in capfd.readouterr().out and not (repos / "pay" / "made").exists()


def test_status_as_json_names_every_field_even_of_a_repo_that_says_little(
    repos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    record = repos / "pay" / ".crm.json"
    record.write_text(record.read_text().replace('"version": "1.0.0"', f'"version": "{__version__}"'))
    with pytest.raises(SystemExit):
        main(["fleet", "status", "--fleet", str(repos), "--only", "pay", "--no-check", "--json"])
    (told,) = json.loads(capfd.readouterr().out)
    assert told["name"] == "pay" and told["template"] == "small" and told["owner"] is None
    assert {"owner", "score", "slo", "last_train", "last_deploy"} <= set(told["unknown"])
