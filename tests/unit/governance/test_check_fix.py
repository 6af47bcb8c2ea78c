"""`crm check --fix` mends what it says it mends, shows it, loses nobody's edit, and does nothing twice."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from small_repo import crm

from carrental_mlops.governance.check import check, mend
from carrental_mlops.governance.mending import shown
from carrental_mlops.governance.rules import CODES

CRM = "config/crm.yaml"
LOCK = "requirements/serving.txt"


def put(repo: Path, path: str, old: str, new: str) -> None:
    text = (repo / path).read_text()
    assert old in text, (path, old)
    (repo / path).write_text(text.replace(old, new))


def git(repo: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Jo", "-c", "user.email=jo@example.com")
    subprocess.run(["git", "-C", str(repo), *who, *arguments], check=True, capture_output=True)


def recorded_as_executable(repo: Path) -> None:
    put(repo, ".crm.json", '"Makefile": {', '"Makefile": {"executable": true,')


def an_empty_ledger_after_a_whole_one(repo: Path) -> None:
    entry = {"path": "a", "base": "0.1.0", "to": "0.2.0", "base_sha256": "0" * 64, "patch": "", "reason": "our own way",
             "by": "Jo Doe", "until": "2099-01-01"}  # fmt: skip
    (repo / ".crm-ledger.json").write_text(json.dumps([entry]))
    git(repo, "add", ".crm-ledger.json")
    git(repo, "commit", "-m", "ledger")
    (repo / ".crm-ledger.json").write_text("")


MENDED: dict[str, tuple[Callable[[Path], object], str]] = {
    "CRM101": (lambda r: put(r, CRM, "latency_class:", "Latency-Class:"), CRM),
    "CRM201": (
        lambda r: (r / "Makefile").write_bytes((r / "Makefile").read_bytes().replace(b"\n", b"  \r\n")), "Makefile",
    ),
    "CRM202": (lambda r: (r / ".gitlab-ci.yml").unlink(), ".gitlab-ci.yml"),
    "CRM203": (lambda r: (r / ".crm.json").unlink(), ".crm.json"),
    "CRM206": (an_empty_ledger_after_a_whole_one, ".crm-ledger.json"),
    "CRM207": (recorded_as_executable, "Makefile"),
    "CRM611": (lambda r: (r / LOCK).unlink(), LOCK),
    "CRM803": (lambda r: put(r, CRM, "owner: ", "owner: new-team@example.com # "), "README.md"),
}  # fmt: skip
"""Code to what breaks it, and the file that mends it."""


def test_every_code_whose_page_promises_a_mend_is_mended_here() -> None:
    elsewhere = {"CRM107"}  # test_check_waivers.py
    assert {code.number for code in CODES if code.fixes} == MENDED.keys() | elsewhere


@pytest.mark.parametrize("code", MENDED)
def test_what_is_mended_is_found_no_more_and_no_other_file_changes(code: str, repo: Path) -> None:
    break_, path = MENDED[code]
    before = contents(repo)
    break_(repo)
    broken = contents(repo)
    result = check(repo, only=[code])
    foreseen = mend(repo, result, dry_run=True)
    assert contents(repo) == broken
    ((finding, change),) = mend(repo, result)
    assert (finding.code, change.path) == (code, path) and [c for _, c in foreseen] == [change]
    assert path in shown(change)
    assert check(repo, only=[code]).findings == ()
    after = contents(repo)
    assert {name for name in after if after[name] != broken.get(name)} == {path}
    if code in ("CRM101", "CRM201", "CRM202", "CRM203", "CRM611"):
        assert after == before
    assert mend(repo, check(repo, only=[code])) == () and contents(repo) == after


def contents(repo: Path) -> dict[str, tuple[bytes, bool]]:
    """Every file of the work tree and whether it may be run."""
    files = (p for p in repo.rglob("*") if p.is_file() and not {".git", ".crm"} & set(p.relative_to(repo).parts))
    return {p.relative_to(repo).as_posix(): (p.read_bytes(), bool(p.stat().st_mode & 0o100)) for p in files}


def fixable(repo: Path, code: str) -> list[bool]:
    return [finding.fix is not None for finding in check(repo, only=[code]).findings if finding.code == code]


def test_an_edit_of_a_person_is_never_taken_back(repo: Path) -> None:
    for line in ("mine:\n\techo mine\n", "\r\n# ours\r\n"):
        with (repo / "Makefile").open("a", newline="") as file:
            file.write(line)
        assert fixable(repo, "CRM201") == [False]
    git(repo, "checkout", "--", "Makefile")
    put(repo, "Makefile", "\t", "    ")
    assert fixable(repo, "CRM201") == [False]


def test_a_managed_file_is_rendered_anew_where_git_never_had_it(repo: Path) -> None:
    before = (repo / "Makefile").read_bytes()
    (repo / "Makefile").unlink()
    shutil.rmtree(repo / ".git")
    ((finding, change),) = mend(repo, check(repo, only=["CRM202"]))
    assert finding.code == "CRM202" and (repo / "Makefile").read_bytes() == before == change.after


def test_a_file_that_holds_something_or_a_merge_that_goes_on_is_left_to_a_person(repo: Path) -> None:
    (repo / ".crm.json").write_text("<<<<<<< ours\n")
    assert fixable(repo, "CRM203") == [False]
    (repo / ".crm.json").unlink()
    assert fixable(repo, "CRM203") == [True]
    head = subprocess.run(["git", "-C", str(repo), "rev-parse", "HEAD"], check=True, capture_output=True).stdout
    (repo / ".git" / "MERGE_HEAD").write_bytes(head)
    assert fixable(repo, "CRM203") == [False]


def test_a_link_in_place_of_a_managed_file_is_not_written_through(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes((repo / "Makefile").read_bytes().replace(b"\n", b"\r\n"))
    (repo / "Makefile").unlink()
    (repo / "Makefile").symlink_to(tmp_path / "elsewhere")
    assert fixable(repo, "CRM201") == [False]


@pytest.mark.parametrize("line", ["teir: 1", "latency-class: batch", "slo-: 1", "columns-label: a"])
def test_a_key_is_renamed_only_where_one_of_ours_is_meant_that_is_not_set(repo: Path, line: str) -> None:
    with (repo / CRM).open("a") as file:
        file.write(f"{line}\n")
    assert fixable(repo, "CRM101") == [False]


def test_a_key_is_renamed_in_a_section_and_in_an_overlay(repo: Path) -> None:
    put(repo, CRM, "slo: {p99_ms:", "slo: {p99Ms:")
    put(repo, "config/prod.yaml", "deploy:", '"Deploy":')
    assert [c.path for _, c in mend(repo, check(repo, only=["CRM101"]))] == [CRM]  # overlays are read on top of it
    assert [c.path for _, c in mend(repo, check(repo, only=["CRM101"]))] == ["config/prod.yaml"]
    assert "slo: {p99_ms:" in (repo / CRM).read_text() and '"deploy":' in (repo / "config/prod.yaml").read_text()


def test_a_readme_without_owner_gets_one_and_one_of_the_teams_own_words_is_left(repo: Path) -> None:
    prose = "# Pay\n\nIt decides for each payment whether it is let through or looked at by a person.\n"
    (repo / "README.md").write_text(prose)
    mend(repo, check(repo, only=["CRM803"]))
    owner = json.loads((repo / ".crm.json").read_text())["answers"]["owner"]
    assert (repo / "README.md").read_text() == f"{prose}\nOwner: {owner}\n"
    (repo / "README.md").write_text(f"{prose}\n**Owners**: the other team\n")
    assert fixable(repo, "CRM803") == [False]


def test_the_command_shows_what_it_changes(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(repo, CRM, "latency_class:", "latency-class:")
    asked = ("check", "--repo", str(repo), "--only", "CRM101", "--fix")
    assert crm(*asked, "--dry-run") == 1
    told = capsys.readouterr().err
    assert "would mend CRM101 config/crm.yaml" in told
    assert "  -latency-class: real-time\n  +latency_class: real-time\n" in told
    assert crm(*asked) == 0 and "mended CRM101 config/crm.yaml" in capsys.readouterr().err
    assert crm(*asked) == 0 and "mended" not in capsys.readouterr().err
