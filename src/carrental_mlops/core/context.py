"""What a step may ask of its run."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Context:
    """One step's view of its run; the engine makes it and, after the step, stores what was recorded.

    `stores` is False for an in-process run: steps then read what others stored but write nothing outside the run.
    """

    run_id: str = "in-process"
    pipeline: str = ""
    step: str = ""
    service: str = "unnamed"
    env: str = "local"
    seed: int = 0
    root: Path = field(default_factory=Path.cwd)
    """The model repo."""
    stores: bool = False
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("crm"))
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    artefacts: dict[str, Path] = field(default_factory=dict)

    def metric(self, name: str, value: float) -> None:
        """Record `value` under `name` for the report, the gate and MLflow."""
        self.metrics[name] = float(value)

    def param(self, name: str, value: object) -> None:
        """Record a setting that the step chose by itself."""
        self.params[name] = str(value)

    def artefact(self, name: str) -> Path:
        """A path to write one file to, such as `report.html`; the engine stores the file under `name`."""
        folder = Path(tempfile.mkdtemp(prefix="crm-"))
        self.artefacts[name] = folder / name
        return self.artefacts[name]

    @property
    def state(self) -> Path:
        """The repo's own store, ignored by git: ZenML, MLflow, Feast, quarantine, reports."""
        return self.root / ".crm"
