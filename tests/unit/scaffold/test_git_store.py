"""Git's objects as we read and write them, held against git's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from template_versions import commit, git

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.git_store import Entry, Store


def _repo(folder: Path, algorithm: str = "sha1") -> Path:
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main", f"--object-format={algorithm}")
    for name in ("a", "a.b", "a-b", "a0", "b/c/d", "b.c", "ümlaut/é", "sp ace/x y"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n")
    (folder / os.fsdecode(b"n\xff")).write_bytes(b"\0\xff")
    (folder / "run.sh").write_text("")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("a")
    commit(folder)
    return folder


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_tree_and_a_commit_have_the_names_that_git_gives_them(tmp_path: Path, algorithm: str) -> None:
    repo = _repo(tmp_path / "repo", algorithm)
    with Store(Git(repo)) as store:
        tree = store.tree_of("HEAD")
        files = store.files(tree)
        assert store.put_tree(files) == tree == git(repo, "rev-parse", "HEAD^{tree}").strip()
        assert store.at(tree, "b/c/d") == b"b/c/d\n" and store.at(tree, "b/c") is store.at(tree, "a/x") is None
        files["b/new"] = Entry("100644", store.put("blob", b"new\n"))
        del files["b/c/d"], files["run.sh"]
        other = store.put_tree(files)
        made = store.put_commit(other, git(repo, "rev-parse", "HEAD").strip(), "A <a> 1 +0000", b"m")
        assert {path for path, _, _ in store.changed(tree, other)} == {"b/c/d", "b/new", "run.sh"}
    assert sorted(git(repo, "diff", "--no-renames", "--name-only", "HEAD", made).split()) == [
        "b/c/d",
        "b/new",
        "run.sh",
    ]
    assert git(repo, "fsck", "--strict", "--no-dangling") == ""


def test_what_lies_in_a_pack_is_not_written_again(tmp_path: Path) -> None:
    repo = _repo(tmp_path / "repo")
    git(repo, "gc", "--quiet")
    with Store(Git(repo)) as store:
        files = store.files(store.tree_of("HEAD"))
        store.put_tree({**files, "a2": Entry("100644", store.put("blob", b"a\n"))})
    assert git(repo, "count-objects").split()[0] == "1"  # the new tree


def test_a_second_work_tree_writes_to_the_store_of_the_first(tmp_path: Path) -> None:
    repo = _repo(tmp_path / "repo")
    git(repo, "worktree", "add", "--quiet", str(tmp_path / "beside"))
    beside = Git(tmp_path / "beside")
    with Store(beside) as store:
        made = store.put("blob", b"of both\n")
    assert beside.is_top and not Git(tmp_path / "beside" / "b").is_top and not Git(repo / ".git").is_top
    assert git(repo, "cat-file", "blob", made) == "of both\n"


def test_a_store_that_cannot_be_written_is_said_with_its_repo(tmp_path: Path) -> None:
    repo = _repo(tmp_path / "repo")
    (repo / "own.txt").write_text("new\n")
    full = tmp_path / "full"
    full.mkdir()
    oid = git(repo, "hash-object", "own.txt").strip()
    (full / oid[:2]).write_text("no folder")
    environment = {
        "GIT_OBJECT_DIRECTORY": str(full),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(repo / ".git" / "objects"),
    }
    with Store(Git(repo, (), environment)) as store, pytest.raises(TemplateError, match="cannot store the templates"):
        store.put("blob", b"new\n")
