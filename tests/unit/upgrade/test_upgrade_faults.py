"""Kills, full disks, folders that cannot be written: the repo is as it was, or goes on, or goes back."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest
from killed_upgrade import NEW, Case, abort_or_done, every_kill, whole
from template_versions import snapshot, version

from carrental_mlops.errors import CrmError, PlatformError
from carrental_mlops.upgrade.phases import abort, proceed


def test_a_kill_is_mended_by_abort_or_continue(tmp_path: Path) -> None:
    case = Case(tmp_path, dirty=True)
    done = whole(case)
    assert b"unsaved" in done["own.txt"][1] and b"line three" in done["a.txt"][1]
    assert every_kill(case, (6, 30, 48), abort_or_done, [case.before, done]) == 3
    assert every_kill(case, (15, 41), proceed, [case.before, done]) == 2


@pytest.mark.parametrize("limit", [0, 150, 1200])
def test_a_full_disk_leaves_the_repo_as_it_was(limit: int, tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.fresh()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            case.go()
        except CrmError as error:
            os._exit(10 if "Fix:" in str(error) else 11)
        except BaseException:
            os._exit(12)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 10
    case.mended(abort)
    assert snapshot(case.repo) == case.before


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed for whom a folder cannot be written")
def test_a_folder_that_cannot_be_written_leaves_the_repo_as_it_was(tmp_path: Path) -> None:
    case = Case(tmp_path)
    repo = case.fresh()
    (repo / "gone").chmod(0o755)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    for path in (repo, *repo.rglob("*")):
        if path.relative_to(repo).as_posix() != "gone":
            os.chown(path, 65534, 65534, follow_symlinks=False)
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        try:
            case.go()
        except PlatformError as error:
            os.write(2, str(error).encode())
            os._exit(10)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(12)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 10
    for path in (repo, *repo.rglob("*")):
        os.chown(path, 0, 0, follow_symlinks=False)
    case.mended(abort)
    assert snapshot(repo) == case.before


def test_a_read_only_file_is_merged_and_another_gits_lock_is_waited_for(tmp_path: Path) -> None:
    case = Case(tmp_path)
    repo = case.fresh()
    (repo / "a.txt").chmod(0o444)
    (repo / ".git" / "index.lock").touch()
    before = snapshot(repo)
    with pytest.raises(PlatformError, match=r"another git is at work"):
        case.go()
    assert snapshot(repo) == before
    (repo / ".git" / "index.lock").unlink()
    case.go()
    assert (repo / "a.txt").read_text() == NEW.replace("line 15\n", "mine\n")


def test_a_template_that_leads_out_or_runs_code_stops_before_anything_is_written(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.fresh()
    for n, bad in enumerate(({"{{'..'}}/x": "x"}, {"a": "{{ ''.__class__.__mro__ }}"}, {"{{'.git'}}/hooks/x": "x"})):
        case.new = version(tmp_path, f"2.{n}.0", bad)
        with pytest.raises(CrmError, match=r"renders to|does not render"):
            case.go()
        assert snapshot(case.repo) == case.before
