"""The best-effort trail: never waits, never refuses, and counts what it loses."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from audit_parts import best_effort, counted, event_of, inputs_of, kept, key_file, metrics_of

from carrental_mlops.serving.endpoint import Event
from carrental_mlops.serving.segments import segments
from carrental_mlops.serving.service import Answer


def test_what_is_kept_before_a_stop_is_on_disk_after_it(tmp_path: Path) -> None:
    async def run() -> None:
        metrics = metrics_of()
        trail = best_effort(tmp_path / "audit", metrics, 5_000, inputs_of(tmp_path / "in", key_file(tmp_path)))
        await trail.start()
        events = [event_of() for _ in range(2_000)]
        for event in events:
            await trail.keep(event)
        await trail.stop()
        assert [e["id"] for e in kept(tmp_path / "audit")] == [e.event_id for e in events]
        assert counted(metrics, "crm_audit_written") == 2_000
        assert counted(metrics, "crm_audit_dropped") == 0
        assert [path.suffix for path in segments(tmp_path / "in", "inputs")] == [".jsonl"]

    asyncio.run(run())


def test_what_does_not_fit_is_counted_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        metrics = metrics_of()
        trail = best_effort(tmp_path / "audit", metrics, 10)
        started = time.perf_counter()
        for _ in range(1_000):  # nothing takes them yet
            await trail.keep(event_of())
        assert time.perf_counter() - started < 1
        assert counted(metrics, "crm_audit_dropped") == 990
        await trail.start()
        await trail.stop()
        assert counted(metrics, "crm_audit_written") == len(kept(tmp_path / "audit")) == 10

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert len([r for r in caplog.records if "are lost" in r.message]) == 1


def test_a_full_disk_loses_events_and_no_answer_and_the_thread_lives_on(tmp_path: Path) -> None:
    async def run() -> None:
        metrics = metrics_of()
        trail = best_effort(tmp_path / "audit", metrics, 100)
        await trail.start()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            for _ in range(20):
                await trail.keep(event_of())
            while counted(metrics, "crm_audit_dropped") < 20:
                await asyncio.sleep(0.01)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await trail.keep(last := event_of())
        await trail.stop()
        assert [e["id"] for e in kept(tmp_path / "audit")] == [last.event_id]

    asyncio.run(run())


def test_an_event_that_cannot_be_written_does_not_end_the_thread(tmp_path: Path) -> None:
    class Strange:
        def __str__(self) -> str:
            raise ValueError("no text")

    async def run() -> None:
        metrics = metrics_of()
        trail = best_effort(tmp_path / "audit", metrics, 100)
        await trail.start()
        broken: Event = event_of()
        broken.answer = Answer(np.array([0.1]), np.array(["accept"]), (Strange(),))  # type: ignore[arg-type]
        await trail.keep(broken)
        while counted(metrics, "crm_audit_dropped") < 1:
            await asyncio.sleep(0.01)
        await trail.keep(event_of())
        await trail.stop()
        assert len(kept(tmp_path / "audit")) == 1

    asyncio.run(run())
