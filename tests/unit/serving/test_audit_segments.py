"""Files of the audit: whose they are, and when they go."""

from __future__ import annotations

import time
from pathlib import Path

from carrental_mlops.serving.segments import Segments, expired, lines, recover, segments


def _one(folder: Path, limit: int = 1 << 20) -> Segments:
    folder.mkdir(exist_ok=True)
    return Segments(folder, "events", limit, 60)


def test_a_file_that_a_living_worker_appends_to_is_left_alone(tmp_path: Path) -> None:
    ours = _one(tmp_path)
    ours.append(b"1\n")
    assert recover(tmp_path) == []
    ours.append(b"2\n")
    ours.close()
    assert [list(lines(path)) for path in segments(tmp_path, "events")] == [[b"1\n", b"2\n"]]


def test_the_file_of_a_killed_worker_is_closed_and_its_cut_line_goes(tmp_path: Path) -> None:
    left = tmp_path / f"events-{time.time_ns()}-00000000.open"
    left.write_bytes(b'{"id":1}\n{"id":')
    (closed,) = recover(tmp_path)
    assert closed.suffix == ".jsonl"
    assert closed.read_bytes() == b'{"id":1}\n'
    assert recover(tmp_path) == []


def test_a_file_without_a_whole_line_and_an_old_draft_are_removed(tmp_path: Path) -> None:
    (tmp_path / f"events-{time.time_ns()}-00000000.open").write_bytes(b'{"id":')
    (tmp_path / f"events-{time.time_ns()}-00000001.draft").write_bytes(b"")
    (tmp_path / "events-1000-00000002.draft").write_bytes(b"")
    assert recover(tmp_path) == []
    assert [path.name[-15:] for path in tmp_path.iterdir()] == ["-00000001.draft"]


def test_a_half_written_line_of_a_file_in_use_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "events-1000-00000000.open"
    path.write_bytes(b"1\n2")
    assert list(lines(path)) == [b"1\n"]


def test_a_file_is_found_though_it_was_closed_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "events-1000-00000000.open"
    path.write_bytes(b"1\n")
    path.rename(path.with_suffix(".sent"))
    assert list(lines(path)) == [b"1\n"]


def test_files_outside_a_window_are_not_opened(tmp_path: Path) -> None:
    ours = _one(tmp_path)
    ours.append(b"1\n")
    now = time.time()
    assert len(segments(tmp_path, "events", now - 60, now + 60)) == 1
    assert segments(tmp_path, "events", since=now + 60) == []
    assert segments(tmp_path, "events", until=now - 60) == []


def test_only_what_was_sent_expires_where_there_is_a_sink(tmp_path: Path) -> None:
    old, new = time.time_ns() - 40 * 86_400 * 10**9, time.time_ns()
    for begun, suffix in ((old, "sent"), (old + 1, "jsonl"), (old + 2, "open"), (new, "sent")):
        (tmp_path / f"events-{begun}-00000000.{suffix}").write_bytes(b"1\n")
    assert [path.suffix for path in expired(tmp_path, "events", 30, unsent_too=False)] == [".sent"]
    assert [path.suffix for path in expired(tmp_path, "events", 30, unsent_too=True)] == [".sent", ".jsonl"]
