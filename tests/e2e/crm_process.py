"""`crm` as a process of its own, in a generated fraud repo whose training takes seconds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from carrental_mlops.scaffold.render import new_repo

CRM = Path(sys.executable).with_name("crm")
SMALL = ("steps.ingest.source=sim://fraud?rows=3000&days=90", "steps.train.threads=1")
"""Few rows."""
OPEN_GATE = (
    "steps.gate.minimum.average_precision=0",
    "steps.gate.minimum.roc_auc=0",
    "steps.gate.no_worse_than_champion.average_precision=1",
    "steps.gate.better_in=log_loss",
)
"""Nothing is refused; on so few rows fewer trees have the lower log loss, so that runs with fewer are promoted."""
_MARK = re.compile(r"^([✓=✗]) (\w+)", re.MULTILINE)


def training(trees: int, *more: str) -> list[str]:
    """Arguments of a small training whose model follows from `trees`."""
    values = (*SMALL, *OPEN_GATE, f"steps.train.n_estimators={trees}")
    return ["run", "training", *(part for value in values for part in ("--set", value)), *more]


def fraud_repo(folder: Path, name: str = "night-watch") -> Path:
    """A repo generated below `folder`, untouched."""
    return new_repo("fraud-realtime", {"name": name, "tier": "2"}, folder).path


@dataclass
class Running:
    """A started `crm`, leader of its own process group; what it says on stderr is read as it comes."""

    process: subprocess.Popen[str]
    started: float = field(default_factory=time.monotonic)
    lines: list[str] = field(default_factory=list)
    lasted: float = 0.0
    """Seconds until the first signal was sent."""

    def __post_init__(self) -> None:
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, text: str, timeout_s: float = 400) -> bool:
        """True once a line of stderr holds `text`, False when the process ended without it."""
        deadline = time.monotonic() + timeout_s
        while not any(text in line for line in self.lines):
            if self.process.poll() is not None:
                self._reader.join(10)
                return any(text in line for line in self.lines)
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)
        return True

    def stop(self, number: signal.Signals, *, group: bool = True) -> None:
        """Send a signal to the whole group, as a terminal does, or to the process alone."""
        self.lasted = self.lasted or time.monotonic() - self.started
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def wait(self, timeout_s: float = 400) -> int:
        """Its exit code."""
        code = self.process.wait(timeout_s)
        self._reader.join(10)
        return code

    @property
    def said(self) -> str:
        """What it has said on stderr."""
        return "".join(self.lines)

    @property
    def steps(self) -> dict[str, str]:
        """Slot name to mark (✓ done, = cached, ✗ failed), in the order told."""
        return {name: mark for mark, name in _MARK.findall(self.said)}

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))


@contextmanager
def started(arguments: list[str], repo: Path, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """`crm` with these arguments in `repo`; whatever is left of its group is killed at the end."""
    process = subprocess.Popen(
        [CRM, *arguments] if arguments[0] in ("run", "runs", "config") else arguments,
        cwd=repo,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    try:
        yield Running(process)
    finally:
        if group_of(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def finished(arguments: list[str], repo: Path, environment: Mapping[str, str] | None = None) -> tuple[int, Running]:
    """Exit code of a run to its end, and what it said."""
    with started(arguments, repo, environment) as running:
        return running.wait(), running


def group_of(leader: int) -> list[int]:
    """Processes of the group of `leader` that still run; a zombie does not."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except (OSError, ValueError):
                continue
            if int(group) == leader and state not in "ZX":
                found.append(int(entry.name))
    return found
