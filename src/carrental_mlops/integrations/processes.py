"""Which process did something, told so that another one can see later whether it has ended."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

HOST, BOOT, PID, STARTED = "crm.host", "crm.boot", "crm.pid", "crm.process_started"
_NO_BOOT = "unknown"


def identity(pid: int | None = None) -> dict[str, str]:
    """This process, or process `pid` of this machine, as tags: host, boot and namespace, process id, when it started.

    The start time tells it from a later process that was given the same id.
    """
    return {
        HOST: platform.node(),
        BOOT: _boot(),
        PID: str(pid or os.getpid()),
        STARTED: _started(pid or os.getpid()) or "",
    }


def has_ended(tags: Mapping[str, str], *, restart_counts: bool = False) -> bool:
    """True when the process that `identity` described has surely ended; False also where that cannot be known.

    Args:
        tags: hold what `identity` gave; others are ignored.
        restart_counts: a host of the same name that booted since then counts as the same machine. Only for a store
            that lies on this machine: elsewhere two machines may share a name.
    """
    if tags.get(HOST) != platform.node() or not tags.get(PID, "").isdigit() or not tags.get(STARTED):
        return False
    then, now = tags.get(BOOT, _NO_BOOT), _boot()
    if then != now:
        return restart_counts and then.partition("/")[0] != now.partition("/")[0]
    return _started(int(tags[PID])) != tags[STARTED]


def _boot() -> str:
    """The kernel's boot id and this process's namespace of process ids; ids of another one say nothing here."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return _NO_BOOT


def _started(pid: int) -> str | None:
    """When process `pid` started; None when it has ended, also when only its entry is left (a zombie)."""
    if Path("/proc/self/stat").is_file():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words and a number
    return told.stdout.strip() or None
