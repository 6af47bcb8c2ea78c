# ruff: noqa: E501 - a case a line
"""A team's edit is never lost: each kind of edit against each kind of template change."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from merge_parts import NEW, made, replaced
from template_versions import LINES, MANAGED, Text, commit, git, repo_of, snapshot, version

from carrental_mlops.errors import ConfigError
from carrental_mlops.governance.ledger import read_ledger, waive, write_ledger
from carrental_mlops.scaffold.ownership import read_record
from carrental_mlops.upgrade.phases import abort, foreseen, proceed, start
from carrental_mlops.upgrade.plan import plan


def test_a_clean_merge_is_one_commit_with_the_record_rewritten(tmp_path: Path) -> None:
    repo, go = made(
        tmp_path, {"a.txt": LINES}, {"a.txt": NEW, "b.txt": "b\n"}, replaced("a.txt", "line 15\n", "mine\n")
    )
    done = go()
    assert (repo / "a.txt").read_text() == NEW.replace("line 15\n", "mine\n")
    assert (repo / "b.txt").read_text() == "b\n"
    assert read_record(repo).version == "1.1.0"
    assert done.unmerged == done.ledger == ()
    assert done.commit == git(repo, "rev-parse", "HEAD").strip()
    assert git(repo, "status", "--porcelain") == ""
    assert git(repo, "for-each-ref", "refs/crm", "refs/worktree") == ""
    assert not (repo / ".git" / "crm-upgrade").exists()


def test_a_conflict_looks_as_gits_and_goes_on_or_back(tmp_path: Path) -> None:
    repo, go = made(tmp_path, {"a.txt": LINES, "b.txt": "1\n"}, {"a.txt": NEW, "b.txt": "2\n"}, replaced("a.txt", "line 3\n", "mine\n"))  # fmt: skip
    before = snapshot(repo)
    done = go()
    assert done.unmerged == ("a.txt",) and done.commit == ""
    text = (repo / "a.txt").read_text()
    assert (
        "<<<<<<< yours\nmine\n||||||| template before\nline 3\n=======\nline three\n>>>>>>> carrental-mlops-1.1.0\n"
        in text
    )
    assert "UU a.txt" in git(repo, "status", "--porcelain")
    with pytest.raises(ConfigError, match=r"in conflict: a\.txt"):
        proceed(repo)
    git(repo, "add", "a.txt")
    with pytest.raises(ConfigError, match=r"a\.txt:3 still holds"):
        proceed(repo)
    told = abort(repo)
    assert told == []
    assert snapshot(repo) == before
    go()
    (repo / "a.txt").write_text(LINES.replace("line 3\n", "both\n"))
    git(repo, "add", "a.txt")
    done = proceed(repo)
    assert done.commit == git(repo, "rev-parse", "HEAD").strip()
    assert git(repo, "status", "--porcelain") == ""
    assert (repo / "b.txt").read_text() == "2\n"


def test_a_resolution_that_is_given_up_can_be_had_back(tmp_path: Path) -> None:
    repo, go = made(tmp_path, {"a.txt": LINES}, {"a.txt": NEW}, replaced("a.txt", "line 3\n", "mine\n"))
    before = snapshot(repo)
    go()
    (repo / "a.txt").write_text("an hour of work\n")
    (told,) = abort(repo)
    assert snapshot(repo) == before
    assert git(repo, *told.partition(": git ")[2].split()) == "an hour of work\n"


KINDS: dict[str, tuple[Mapping[str, Text], Mapping[str, Text], Callable[[Path], object], Mapping[str, Text | None]]] = {
    "renamed by the template, edited by the team": (
        {"a.txt": LINES}, {"new/b.txt": NEW}, replaced("a.txt", "line 15\n", "mine\n"),
        {"a.txt": None, "new/b.txt": NEW.replace("line 15\n", "mine\n")},
    ),
    "edited by the template, renamed by the team": (
        {"a.txt": LINES}, {"a.txt": NEW}, lambda r: (r / "a.txt").rename(r / "c.txt"), {"a.txt": None, "c.txt": NEW},
    ),
    "edited by the template, folder renamed by the team": (
        {"d/a.txt": LINES, "d/b.txt": LINES + "b\n"}, {"d/a.txt": NEW, "d/b.txt": LINES + "b\n", "d/n.txt": "n\n"},
        lambda r: (r / "d").rename(r / "e"), {"e/a.txt": NEW, "e/n.txt": "n\n", "d/a.txt": None, "d/n.txt": None},
    ),
    "folder renamed by the template, file added by the team": (
        {"d/a.txt": LINES, "d/b.txt": LINES + "b\n"}, {"e/a.txt": LINES, "e/b.txt": LINES + "b\n"},
        lambda r: (r / "d" / "own.txt").write_text("own\n"), {"e/a.txt": LINES, "e/own.txt": "own\n", "d/a.txt": None},
    ),
    "deleted by the team, untouched by the template": (
        {"a.txt": LINES, "b.txt": "1\n"}, {"a.txt": LINES, "b.txt": "2\n"}, lambda r: (r / "a.txt").unlink(),
        {"a.txt": None, "b.txt": "2\n"},
    ),
    "deleted by the template, untouched by the team": (
        {"d/a.txt": LINES, "b.txt": "1\n"}, {"b.txt": "1\n"}, lambda r: None, {"d": None, "b.txt": "1\n"},
    ),
    "executable by the template, edited by the team": (
        {"a.sh": LINES}, {"!a.sh": LINES}, replaced("a.sh", "line 15\n", "mine\n"), {"a.sh": LINES.replace("line 15\n", "mine\n")},
    ),
    "executable by the team, edited by the template": (
        {"a.sh": LINES}, {"a.sh": NEW}, lambda r: (r / "a.sh").chmod(0o755), {"a.sh": NEW},
    ),
    "CRLF in both": (
        {"a.txt": LINES.replace("\n", "\r\n")}, {"a.txt": NEW.replace("\n", "\r\n")},
        lambda r: (r / "a.txt").write_bytes((r / "a.txt").read_bytes().replace(b"line 15\r", b"mine\r")),
        {"a.txt": NEW.replace("line 15\n", "mine\n").replace("\n", "\r\n")},
    ),
    "no final newline": (
        {"a.txt": LINES.rstrip()}, {"a.txt": NEW.rstrip()}, replaced("a.txt", "line 10\n", "mine\n"),
        {"a.txt": NEW.rstrip().replace("line 10\n", "mine\n")},
    ),
    "not UTF-8": (
        {"a.txt": b"caf\xe9\n" + LINES.encode()}, {"a.txt": b"caf\xe9\n" + NEW.encode()},
        lambda r: (r / "a.txt").write_bytes((r / "a.txt").read_bytes().replace(b"line 15\n", b"\xff mine\n")),
        {"a.txt": b"caf\xe9\n" + NEW.encode().replace(b"line 15\n", b"\xff mine\n")},
    ),
    "binary of the template, text of the team": (
        {"x.bin": b"\0\1", "a.txt": LINES}, {"x.bin": b"\0\2", "a.txt": LINES},
        replaced("a.txt", "line 15\n", "mine\n"), {"x.bin": b"\0\2", "a.txt": LINES.replace("line 15\n", "mine\n")},
    ),
    "link of the team": (
        {"a.txt": LINES}, {"a.txt": NEW}, lambda r: (r / "l").symlink_to("a.txt"), {"a.txt": NEW, "l": NEW},
    ),
    "same change on both sides": ({"a.txt": LINES}, {"a.txt": NEW}, replaced("a.txt", "line 3\n", "line three\n"), {"a.txt": NEW}),
    "same file added by both": ({}, {"a.txt": "a\n"}, lambda r: (r / "a.txt").write_text("a\n"), {"a.txt": "a\n"}),
    "file becomes a folder": ({"a": "x\n" + LINES}, {"a/b.txt": "b\n"}, lambda r: None, {"a/b.txt": "b\n"}),
    "folder becomes a file": ({"a/b.txt": "b\n"}, {"a": "x\n"}, lambda r: None, {"a": "x\n"}),
    "odd names": ({"ü b\"c\\d.txt": LINES}, {"ü b\"c\\d.txt": NEW}, lambda r: (r / "t\nn").write_text("t"), {"ü b\"c\\d.txt": NEW, "t\nn": "t"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_clean_case_holds_both(kind: str, tmp_path: Path) -> None:
    old, new, edit, expected = KINDS[kind]
    repo, go = made(tmp_path, old, new, edit)
    mode = {p: os.access(repo / p, os.X_OK) for p in expected if (repo / p).is_file()}
    done = go()
    assert done.conflicts == () and done.commit
    for path, text in expected.items():
        if text is None:
            assert not (repo / path).exists(), path
        else:
            assert (repo / path).read_bytes() == (text.encode() if isinstance(text, str) else text), path
            assert os.access(repo / path, os.X_OK) >= mode.get(path, False)
    if kind.startswith("executable by the template"):
        assert os.access(repo / "a.sh", os.X_OK)
    assert git(repo, "status", "--porcelain", "--ignored") == ""
    assert read_ledger(repo) == ()


CONFLICTS: dict[str, tuple[Mapping[str, Text], Mapping[str, Text], Callable[[Path], object], bytes]] = {
    "deleted by the template, edited by the team": ({"a.txt": LINES}, {}, replaced("a.txt", "line 3\n", "mine\n"), b"mine\n"),
    "edited by the template, deleted by the team": ({"a.txt": LINES}, {"a.txt": NEW}, lambda r: (r / "a.txt").unlink(), b""),
    "binary edited by both": ({"a.bin": b"\0\1"}, {"a.bin": b"\0\2"}, lambda r: (r / "a.bin").write_bytes(b"\0\3"), b"\0\3"),
    "added by both": ({}, {"a.txt": "theirs\n"}, lambda r: (r / "a.txt").write_text("mine\n"), b"mine\n"),
    "renamed by both": (
        {"a.txt": LINES}, {"b.txt": LINES}, lambda r: (r / "a.txt").rename(r / "c.txt"), LINES.encode(),
    ),
    "renamed by the template, edited by both in one line": (
        {"a.txt": LINES}, {"b.txt": NEW}, replaced("a.txt", "line 3\n", "mine\n"), b"mine\n",
    ),
    "a file of the template where the team has a folder": (
        {}, {"d": "theirs\n"}, lambda r: ((r / "d").mkdir(), (r / "d" / "a").write_text("mine\n")), b"mine\n",
    ),
    "a file of the team where the template has a folder": (
        {}, {"d/a": "theirs\n"}, lambda r: (r / "d").write_text("mine\n"), b"mine\n",
    ),
    "line endings changed by the team": (
        {"a.txt": LINES}, {"a.txt": NEW}, lambda r: (r / "a.txt").write_bytes(LINES.replace("\n", "\r\n").encode()), b"line 15\r\n",
    ),
    "a link of the team in place of a file": (
        {"a.txt": LINES}, {"a.txt": NEW}, lambda r: ((r / "a.txt").unlink(), (r / "a.txt").symlink_to("/nowhere/mine")), b"/nowhere/mine",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONFLICTS)
def test_what_does_not_merge_is_shown_with_the_teams_text_and_can_be_undone(kind: str, tmp_path: Path) -> None:
    old, new, edit, mine = CONFLICTS[kind]
    repo, go = made(tmp_path, old, new, edit)
    before = snapshot(repo)
    done = go()
    assert done.unmerged and done.conflicts and not done.commit
    assert any(mine in content for _, content in snapshot(repo).values())
    assert git(repo, "ls-files", "-u") != ""
    abort(repo)
    assert snapshot(repo) == before
    assert git(repo, "status", "--porcelain") == ""


def test_a_preview_writes_nothing(tmp_path: Path) -> None:
    before, after = version(tmp_path, "1.0.0", {"a.txt": LINES}), version(tmp_path, "1.1.0", {"a.txt": NEW})
    repo = repo_of(before, tmp_path / "repo")

    def everything() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in repo.rglob("*") if p.is_file()}

    there = everything()
    (tmp_path / "objects").mkdir()
    told = foreseen(plan(repo, before, after, scratch=tmp_path / "objects"))
    assert told.changed == (".crm.json", "a.txt")
    assert everything() == there


def test_a_resolution_that_the_team_committed_itself_is_gone_on_from(tmp_path: Path) -> None:
    repo, go = made(
        tmp_path,
        {"Makefile": MANAGED},
        {"Makefile": MANAGED.replace("line 3\n", "fix\n")},
        replaced("Makefile", "line 3\n", "mine\n"),
    )
    go()
    (repo / "Makefile").write_text(MANAGED.replace("line 3\n", "fix\n"))
    own = commit(repo)
    with pytest.raises(ConfigError, match="HEAD has moved since"):
        abort(repo)
    assert proceed(repo).commit == own == git(repo, "rev-parse", "HEAD").strip()
    assert git(repo, "status", "--porcelain") == ""


def test_an_upgrade_that_was_reset_by_hand_is_not_taken_for_a_declined_one(tmp_path: Path) -> None:
    repo, go = made(tmp_path, {"a.txt": LINES}, {"a.txt": NEW}, replaced("a.txt", "line 3\n", "mine\n"))
    before = snapshot(repo)
    go()
    git(repo, "reset", "--hard", "--quiet")
    with pytest.raises(ConfigError, match=r"old version again.*\nFix: crm upgrade --abort"):
        proceed(repo)
    abort(repo)
    assert snapshot(repo) == before


def test_line_endings_that_git_converts_are_no_edit(tmp_path: Path) -> None:
    repo, go = made(
        tmp_path,
        {"a.txt": LINES, "b.txt": "b\n"},
        {"a.txt": NEW, "b.txt": "b\n"},
        lambda r: (r / ".gitattributes").write_text("*.txt text eol=crlf\n"),
    )
    (repo / "a.txt").unlink()
    git(repo, "checkout", "--", "a.txt")
    assert b"line 3\r\n" in (repo / "a.txt").read_bytes()
    assert go().commit
    assert (repo / "a.txt").read_bytes() == NEW.replace("\n", "\r\n").encode()
    assert git(repo, "status", "--porcelain") == ""


def test_a_linked_work_tree_and_a_repo_in_a_larger_one(tmp_path: Path) -> None:
    before, after = version(tmp_path, "1.0.0", {"a.txt": LINES}), version(tmp_path, "1.1.0", {"a.txt": NEW})
    repo = repo_of(before, tmp_path / "repo")
    git(repo, "worktree", "add", "--quiet", str(tmp_path / "beside"))
    (tmp_path / "beside" / "a.txt").write_text(LINES.replace("line 3\n", "mine\n"))
    commit(tmp_path / "beside")
    there = snapshot(tmp_path / "beside")
    assert start(plan(tmp_path / "beside", before, after)).unmerged == ("a.txt",)
    assert start(plan(repo, before, after)).commit
    abort(tmp_path / "beside")
    assert snapshot(tmp_path / "beside") == there
    inner = repo / "inner"
    inner.mkdir()
    (inner / ".crm.json").write_bytes((repo / ".crm.json").read_bytes())
    with pytest.raises(ConfigError, match="not the top of a git repository"):
        plan(inner, before, after)


def test_new_questions_alone_are_asked_and_recorded(tmp_path: Path) -> None:
    before = version(tmp_path, "1.0.0", {"a.txt": "{{cookiecutter.name}}\n"})
    after = version(tmp_path, "1.1.0", {"a.txt": "{{cookiecutter.name}} {{cookiecutter.tier}}\n"}, {"tier": ["2", "1"]})
    repo = repo_of(before, tmp_path / "repo")
    asked: list[str] = []
    start(plan(repo, before, after, ask=lambda question, _: asked.append(question.name) or "1"))
    assert asked == ["tier"]
    assert (repo / "a.txt").read_text() == "svc 1\n"
    assert read_record(repo).answers == {"name": "svc", "tier": "1"}


def test_a_declined_change_comes_back_until_it_is_accepted(tmp_path: Path) -> None:
    v = [version(tmp_path, f"1.{n}.0", {"Makefile": text}) for n, text in enumerate((
        MANAGED, MANAGED.replace("line 3\n", "fix\n").replace("line 18\n", "other\n"),
        MANAGED.replace("line 3\n", "fix\n").replace("line 18\n", "other\n").replace("line 9\n", "more\n"),
    ))]  # fmt: skip
    repo = repo_of(v[0], tmp_path / "repo")
    replaced("Makefile", "line 3\n", "mine\n")(repo)
    commit(repo)
    assert start(plan(repo, v[0], v[1])).unmerged == ("Makefile",)
    kept = MANAGED.replace("line 3\n", "mine\n").replace("line 18\n", "other\n")
    (repo / "Makefile").write_text(kept)
    git(repo, "add", "Makefile")
    done = proceed(repo)
    (entry,) = read_ledger(repo)
    assert done.ledger == (entry,)
    assert (entry.path, entry.base, entry.to) == ("Makefile", "1.0.0", "1.1.0")
    assert "-line 3\n+fix\n" in entry.patch and "other" not in entry.patch.replace(" other", "").replace(" line 18", "")
    again = start(plan(repo, v[1], v[2]))
    assert again.returned == again.unmerged == ("Makefile",)
    assert "mine\n||||||| template before\nline 3\n=======\nfix\n" in (repo / "Makefile").read_text()
    (repo / "Makefile").write_text(kept.replace("line 9\n", "more\n"))
    git(repo, "add", "Makefile")
    (entry,) = proceed(repo).ledger
    assert (entry.base, entry.to) == ("1.0.0", "1.2.0")
    v3 = version(tmp_path, "1.3.0", {"Makefile": MANAGED.replace("line 3\n", "fix\n").replace("line 18\n", "other\n").replace("line 9\n", "more\n")})  # fmt: skip
    start(plan(repo, v[2], v3))
    accepted = kept.replace("mine\n", "fix\n").replace("line 9\n", "more\n")
    (repo / "Makefile").write_text(accepted)
    git(repo, "add", "Makefile")
    assert proceed(repo).ledger == ()
    assert not (repo / ".crm-ledger.json").exists()
    assert git(repo, "status", "--porcelain") == ""


def test_a_waived_change_is_left_alone_until_its_day(tmp_path: Path) -> None:
    import datetime

    v = [version(tmp_path, f"1.{n}.0", {"Makefile": t}) for n, t in enumerate((MANAGED, MANAGED.replace("line 3\n", "fix\n"), MANAGED.replace("line 3\n", "fix\n").replace("line 18\n", "x\n")))]  # fmt: skip
    repo = repo_of(v[0], tmp_path / "repo")
    replaced("Makefile", "line 3\n", "mine\n")(repo)
    commit(repo)
    start(plan(repo, v[0], v[1]))
    (repo / "Makefile").write_text(MANAGED.replace("line 3\n", "mine\n"))
    git(repo, "add", "Makefile")
    proceed(repo)
    until = datetime.date.today() + datetime.timedelta(days=9)
    write_ledger(repo, waive(read_ledger(repo), "Makefile", "our runner", "a@example.com", until))
    commit(repo)
    done = start(plan(repo, v[1], v[2]))
    assert done.commit and done.returned == ()
    (entry,) = done.ledger
    assert entry.reason == "our runner" and entry.until == until.isoformat() and entry.base == "1.0.0"
    v3 = version(tmp_path, "1.3.0", {"Makefile": MANAGED.replace("line 3\n", "fix\n").replace("line 18\n", "y\n")})
    late = plan(repo, v[2], v3, today=until + datetime.timedelta(days=1))
    assert [e.path for e in late.returned] == ["Makefile"] and late.merged.unmerged == ("Makefile",)
