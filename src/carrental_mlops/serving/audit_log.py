"""Reads the audit back: events of a window, one event, the sealed inputs of some."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from carrental_mlops.config import RepoConfig
from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.serving.segments import lines, segments
from carrental_mlops.serving.vault import FileVault, Opened

_LATE_S = 60.0
"""An event is on disk at most so long after its time."""


@dataclass(frozen=True)
class Window:
    """From one instant to another (seconds since 1970-01-01 UTC), both included; None leaves a side open."""

    since: float | None = None
    until: float | None = None

    def __contains__(self, instant: float) -> bool:
        return (self.since is None or instant >= self.since) and (self.until is None or instant <= self.until)

    def files(self, folder: Path, kind: str) -> list[Path]:
        """The files of the audit that may hold it."""
        return segments(folder, kind, self.since, None if self.until is None else self.until + _LATE_S)


EVER = Window()
_TRACE = re.compile(r"[0-9a-f]{32}").fullmatch


def time_of(event: dict[str, Any]) -> float:
    """When the request came (seconds since 1970-01-01 UTC)."""
    return datetime.fromisoformat(event["time"]).timestamp()


def events(folder: Path, window: Window = EVER) -> Iterator[dict[str, Any]]:
    """The events of a window as CloudEvents; those of one worker in their order.

    Args:
        folder: of the audit.
        window: which.

    Raises:
        DataError: a line is no event.
    """
    for path in window.files(folder, "events"):
        for number, line in enumerate(lines(path), 1):
            try:
                event = orjson.loads(line)
                inside = time_of(event) in window
            except (ValueError, KeyError, TypeError):
                raise DataError(f"{path}:{number} is no event", "restore the file") from None
            if inside:
                yield event


def find(folder: Path, name: str) -> list[dict[str, Any]]:
    """The events of one answer: by the event's id, or by the id of the request, which a caller may have sent twice.

    Args:
        folder: of the audit.
        name: the id.

    Raises:
        DataError: there is none.
    """
    found = [event for event in events(folder) if name in (event["id"], event["data"]["request"])]
    if not found:
        raise DataError(f"no event {name} in {folder}", "crm audit show; what was removed here is at the sink")
    return found


def traced(folder: Path, name: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The events of one trace, request or event, and the ids of their traces (32 hexadecimal digits).

    Args:
        folder: of the audit.
        name: the id; one that is a trace's is itself among the traces, also where no event bears it.
    """
    found = [event for event in events(folder) if name in (event["id"], event["data"]["request"], _trace_of(event))]
    traces = {trace for event in found if (trace := _trace_of(event))}
    return found, sorted(traces | ({name} if _TRACE(name) else set()))


def _trace_of(event: dict[str, Any]) -> str | None:
    parent = event.get("traceparent")
    return str(parent).split("-")[1] if parent else None


def asked(
    root: Path, config: RepoConfig, key_file: Path | None, chosen: Collection[dict[str, Any]]
) -> dict[str, Opened]:
    """What was asked for some events, by their ids; without those whose input is not kept.

    Args:
        root: of the model repo.
        config: of the repo.
        key_file: opens the inputs; None for the one that crm.yaml names.
        chosen: the events.

    Raises:
        ConfigError: no key.
        DataError: a file was changed, or sealed under another key.
    """
    audit = config.serving.audit
    if key_file is None and audit.input_key_file is None:
        what = "serving.audit.input_key_file is not set: the full input is not kept"
        raise ConfigError(what, "set it, or name the key of that time: --key-file FILE")
    vault = FileVault(key_file if key_file is not None else root / str(audit.input_key_file))
    if not chosen:
        return {}
    wanted = {event["id"] for event in chosen}
    times = [time_of(event) for event in chosen]
    if audit.input_sink is not None:
        from carrental_mlops.serving.sealed_store import bring_back

        bring_back(root, audit, min(times), max(times))
    files = Window(min(times), max(times)).files(root / audit.input_folder, "inputs")
    return {found.event_id: found for path in files for found in vault.open(path, wanted)}
