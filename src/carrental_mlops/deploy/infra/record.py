"""What lies between `crm infra plan` and `crm infra apply`: the plan, its digest, and whether an apply was cut off."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.errors import ConfigError
from carrental_mlops.files import file_digest, whole_file
from carrental_mlops.integrations.processes import has_ended, identity


class PlannedChange(Frozen):
    """One thing that a plan does."""

    address: str
    action: str
    """`create`, `update`, `delete`, `replace`."""


class Made(Frozen):
    """Something that a plan creates and that could be found again by its name."""

    address: str
    identity: str
    """What `terraform import` calls it."""


class PlanRecord(Frozen):
    """A plan that may be applied."""

    digest: str
    """sha256 of the plan file."""
    at: datetime
    """UTC."""
    destroys: bool = False
    changes: tuple[PlannedChange, ...] = ()
    makes: tuple[Made, ...] = ()
    losses: tuple[str, ...] = ()
    """Addresses of what holds data or keys and would be deleted or replaced."""
    refused: tuple[str, ...] = ()
    """Rules that it breaks."""


class Begun(Frozen):
    """An apply that has begun; it stays on disk until that apply has ended."""

    record: PlanRecord
    at: datetime
    process: dict[str, str]


class Folder:
    """`.crm/terraform/<env>/` of a model repo."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.tfplan"
        self._record, self._begun = path / "plan.json", path / "applying.json"

    def keep(self, record: PlanRecord) -> None:
        """Keep what is said of the plan file."""
        _write(self._record, record)

    def planned(self, env: str, digest: str | None = None) -> PlanRecord:
        """The plan that lies here.

        Args:
            env: for the message.
            digest: what was shown and agreed to, or its beginning; None takes the one that lies here.

        Raises:
            ConfigError: there is none, its file is not what was planned, or another one was agreed to.
        """
        again = f"crm infra plan --env {env}"
        if not (self._record.is_file() and self.plan.is_file()):
            raise ConfigError(f"no plan of {env} lies here", again)
        record = PlanRecord.model_validate_json(self._record.read_bytes())
        if file_digest(self.plan) != record.digest:
            raise ConfigError(f"{self.plan} is not the plan that was made at {record.at:%Y-%m-%d %H:%M} UTC", again)
        if digest is not None and not (len(digest) >= 8 and record.digest.startswith(digest.removeprefix("sha256:"))):
            raise ConfigError(
                f"the plan here is {record.digest[:12]}, not {digest[:19]}", f"{again}, and agree to that"
            )
        return record

    def forget_plan(self) -> None:
        """Remove the plan: it has been applied, or can be no more."""
        self.plan.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

    def begin(self, record: PlanRecord, pid: int) -> None:
        """Note that process `pid` applies `record`."""
        _write(self._begun, Begun(record=record, at=datetime.now(UTC), process=identity(pid)))

    def end(self) -> None:
        """Note that the apply has ended, well or not."""
        self._begun.unlink(missing_ok=True)

    def begun(self) -> Begun | None:
        """The apply that has not been noted as ended; whether it still runs says `cut_off`."""
        try:
            return Begun.model_validate_json(self._begun.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None


def cut_off(begun: Begun) -> bool:
    """True where that apply's process has surely ended."""
    return has_ended(begun.process, restart_counts=True)


def _write(path: Path, record: Frozen) -> None:
    with whole_file(path) as draft:
        draft.write_text(json.dumps(record.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
