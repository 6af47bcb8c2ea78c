"""A file is there as a whole or not at all, and killed makers leave nothing that stays."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from carrental_mlops.errors import PlatformError
from carrental_mlops.files import create_file, whole_file

MAKER = """
import sys, time
from pathlib import Path
from carrental_mlops.files import whole_file
with whole_file(Path(sys.argv[1])) as draft:
    draft.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def _maker(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", MAKER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    return process


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_draft_of_a_killed_maker_goes_with_the_next_file_of_the_folder(tmp_path: Path) -> None:
    with _maker(tmp_path / "run-1.parquet") as killed:
        killed.send_signal(signal.SIGKILL)
    assert len(_names(tmp_path)) == 1
    with whole_file(tmp_path / "run-2.parquet") as draft:
        draft.write_text("whole")
    assert _names(tmp_path) == ["run-2.parquet"]


def test_the_draft_of_a_maker_at_work_stays(tmp_path: Path) -> None:
    with _maker(tmp_path / "a") as busy:
        [theirs] = _names(tmp_path)
        with whole_file(tmp_path / "a") as draft:
            draft.write_text("whole")
        assert _names(tmp_path) == [theirs, "a"]
        assert (tmp_path / "a").read_text() == "whole"
        busy.kill()


def test_a_block_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(ValueError, match="stop"), whole_file(tmp_path / "a") as draft:
        draft.write_text("new")
        raise ValueError("stop")
    assert _names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_file_is_created_once_and_a_folder_that_is_a_file_is_no_other_writer(tmp_path: Path) -> None:
    assert create_file(tmp_path / "new" / "1.json", b"first")
    assert not create_file(tmp_path / "new" / "1.json", b"second")
    assert (tmp_path / "new" / "1.json").read_bytes() == b"first"
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(PlatformError):
        create_file(tmp_path / "taken" / "1.json", b"lost")
