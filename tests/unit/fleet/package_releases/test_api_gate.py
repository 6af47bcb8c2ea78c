"""`.ci/api_gate.py` on two source trees and on a real git repository with tags."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest
from small_packages import HOOK, package

from carrental_mlops.scaffold.versions import Material

_SPEC = importlib.util.spec_from_file_location("api_gate", Path(__file__).parents[4] / ".ci" / "api_gate.py")
assert _SPEC and _SPEC.loader
api_gate = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(api_gate)

OTHER_ARGUMENT = HOOK.replace("rows: list[int]", "rows: list[int], seed: int")
OTHER_PROMISE = HOOK.replace("one weight a row", "one weight a row, above 0")
RENAMED = HOOK.replace("sample_weight", "weights")
REFORMATTED = HOOK.replace(
    "return [1.0 for _ in rows]", "# one each\n        return [\n            1.0 for _ in rows\n        ]"
)
OTHER_DEFAULT = HOOK.replace("1.0 for", "2.0 for")
LINE = "## 0.2.0 (unreleased)\n\n### Hook\n- `TrainStep.sample_weight` gets `seed`.\n\n## 0.1.0 (2026-11-01)\n"


@pytest.fixture
def old(tmp_path: Path) -> Material:
    return package(tmp_path / "old", "0.1.0")


@pytest.mark.parametrize(
    "hook", [OTHER_ARGUMENT, OTHER_PROMISE, RENAMED, ""], ids=["signature", "contract", "renamed", "removed"]
)
def test_a_changed_hook_wants_a_major_version_or_its_line(hook: str, old: Material, tmp_path: Path) -> None:
    refused = api_gate.gate(old, package(tmp_path / "new", "0.2.0", hook=hook))
    assert len(refused) == 1 and "hook `TrainStep.sample_weight`" in refused[0] and "**Hook**" in refused[0]
    assert api_gate.gate(old, package(tmp_path / "told", "0.2.0", hook=hook, changelog=LINE)) == []
    assert api_gate.gate(old, package(tmp_path / "major", "1.0.0", hook=hook)) == []


def test_a_line_of_an_earlier_version_or_under_another_head_does_not_count(old: Material, tmp_path: Path) -> None:
    stale = LINE.replace("0.2.0 (unreleased)", "0.1.0 (2026-11-01)", 1)
    assert api_gate.gate(old, package(tmp_path / "a", "0.2.0", hook="", changelog=stale))
    assert api_gate.gate(
        old, package(tmp_path / "b", "0.2.0", hook="", changelog=LINE.replace("### Hook", "### Added"))
    )


@pytest.mark.parametrize("hook", [REFORMATTED, OTHER_DEFAULT], ids=["formatting", "another default"])
def test_what_no_override_has_to_follow_passes(hook: str, old: Material, tmp_path: Path) -> None:
    assert api_gate.gate(old, package(tmp_path / "new", "0.2.0", hook=hook)) == []


def test_a_public_name_that_is_gone_is_refused_until_it_is_told(old: Material, tmp_path: Path) -> None:
    refused = api_gate.gate(old, package(tmp_path / "new", "0.2.0", public="[]"))
    assert len(refused) == 1 and "`carrental_mlops.steps.TrainStep`: it is gone" in refused[0]
    told = "## 0.2.0 (unreleased)\n\n### Removed\n- `TrainStep`.\n"
    assert api_gate.gate(old, package(tmp_path / "told", "0.2.0", public="[]", changelog=told)) == []


def test_a_public_method_that_takes_other_arguments_is_refused(old: Material, tmp_path: Path) -> None:
    refused = api_gate.gate(old, package(tmp_path / "new", "0.2.0", **{", rounds=100": ""}))
    assert len(refused) == 1 and "TrainStep.fit" in refused[0] and "rounds" in refused[0]


def test_an_announced_end_is_kept_neither_early_nor_late(old: Material, tmp_path: Path) -> None:
    ends = 'removed_hook("TrainStep.sample_weight", since="0.2.0", removed_in="0.4.0", advice="Weigh the rows.")'
    announced = package(tmp_path / "announced", "0.2.0", declares=ends)
    assert api_gate.gate(old, announced) == []
    early = api_gate.gate(
        announced, package(tmp_path / "early", "0.3.0", hook="", changelog=LINE.replace("0.2.0", "0.3.0"))
    )
    assert len(early) == 1 and "0.2.0 promised it until 0.4.0" in early[0]
    late = api_gate.gate(announced, package(tmp_path / "late", "0.4.0", declares=ends))
    assert len(late) == 1 and "was to be gone in 0.4.0" in late[0]
    assert (
        api_gate.gate(
            announced, package(tmp_path / "well", "0.4.0", hook="", changelog=LINE.replace("0.2", "0.4"), declares=ends)
        )
        == []
    )


def test_in_a_git_repository_it_finds_the_last_tag_and_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "--quiet")
    _commit(root, tmp_path / "a", "0.1.0", HOOK)
    assert api_gate.main([], root) == 0
    assert "no tag v… before 0.1.0: nothing was compared" in capsys.readouterr().out
    git(root, "tag", "v0.1.0")
    assert api_gate.last_tag(root) is None  # the tag of this very commit is no earlier version
    _commit(root, tmp_path / "b", "0.2.0", OTHER_ARGUMENT)
    assert api_gate.last_tag(root) == "v0.1.0"
    assert api_gate.main([], root) == 1
    told = capsys.readouterr()
    assert "`TrainStep.sample_weight` changed: arguments were `rows`, are `rows`, `seed`" in told.err
    assert "api: 0.2.0 against 0.1.0 (v0.1.0): 1 refused" in told.out
    (root / "CHANGELOG.md").write_text(LINE)
    assert api_gate.main([], root) == 0
    git(root, "tag", "v0.10.0")
    _commit(root, tmp_path / "c", "0.11.0", OTHER_ARGUMENT)
    git(root, "tag", "v0.9.0", "HEAD~1")
    assert api_gate.last_tag(root) == "v0.10.0"
    with pytest.raises(SystemExit, match=r"v7 cannot be read"):
        api_gate.main(["v7"], root)


def test_without_git_it_says_that_nothing_was_compared_and_fails_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    assert api_gate.main([], tmp_path) == 0
    assert "nothing was compared" in capsys.readouterr().err
    monkeypatch.setenv("CI", "true")
    assert api_gate.main([], tmp_path) == 1


def _commit(root: Path, scratch: Path, number: str, hook: str) -> None:
    made = package(scratch, number, hook=hook)
    shutil.rmtree(root / "src", ignore_errors=True)
    shutil.copytree(made.package, root / "src" / "carrental_mlops", ignore=shutil.ignore_patterns("_assets"))
    (root / "CHANGELOG.md").touch()
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", number)


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)
