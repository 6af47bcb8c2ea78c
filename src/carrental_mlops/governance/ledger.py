"""Template changes that a team declined, and come back until they are accepted or waived."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from carrental_mlops.errors import ConfigError, nearest
from carrental_mlops.files import whole_file
from carrental_mlops.governance.waivers import LEAST_REASON, LONGEST

LEDGER = ".crm-ledger.json"


@dataclass(frozen=True)
class Declined:
    """One template change that the repo does not hold."""

    path: str
    """Relative to the repo, with `/`."""
    base: str
    """Version whose text the team kept."""
    to: str
    """Version that brought the change."""
    base_sha256: str
    """Of the file as `base` rendered it."""
    patch: str
    """The change as a unified diff."""
    reason: str = ""
    by: str = ""
    until: str = ""
    """ISO date; with a reason and a person the entry is waived until then."""

    def waived(self, today: datetime.date) -> bool:
        """Whether it is left alone on `today`; not what `waive` would refuse, such as a day too far ahead."""
        if len(self.reason.strip()) < LEAST_REASON or not (self.by and self.until):
            return False
        return today <= datetime.date.fromisoformat(self.until) <= today + LONGEST


def read_ledger(root: Path) -> tuple[Declined, ...]:
    """The entries of the repo's ledger, none where it has no ledger.

    Raises:
        ConfigError: the file does not hold what we write.
    """
    path = root / LEDGER
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except ValueError as error:
        raise ConfigError(f"{path}: {error}", f"git checkout -- {LEDGER}") from error
    return parse_ledger(text, str(path))


def parse_ledger(text: str, name: str = LEDGER) -> tuple[Declined, ...]:
    """The entries of a ledger's text; `name` stands in the error. Raises as `read_ledger` does."""
    try:
        found = tuple(Declined(**entry) for entry in json.loads(text))
        for entry in found:
            if entry.until:
                datetime.date.fromisoformat(entry.until)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{name}: {error}", f"git checkout -- {LEDGER}") from error
    return found


def ledger_text(entries: Sequence[Declined]) -> str:
    """What the file holds, sorted; empty where there is no entry and so no file."""
    told = [asdict(entry) for entry in sorted(entries, key=lambda e: (e.path, e.to))]
    return json.dumps(told, indent=2) + "\n" if told else ""


def write_ledger(root: Path, entries: Sequence[Declined]) -> None:
    """Write the ledger; no file where there is no entry."""
    path = root / LEDGER
    text = ledger_text(entries)
    if not text:
        path.unlink(missing_ok=True)
        return
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def moved(entries: Sequence[Declined], moves: Mapping[str, str]) -> tuple[Declined, ...]:
    """The entries under the names that a version gives their files: `moves` is old path to new one."""
    return tuple(replace(entry, path=moves.get(entry.path, entry.path)) for entry in entries)


def waive(entries: Sequence[Declined], path: str, reason: str, by: str, until: datetime.date) -> tuple[Declined, ...]:
    """The ledger with the entries of `path` left alone until a day.

    Args:
        entries: the ledger.
        path: of the entry.
        reason: why the team keeps its text, `LEAST_REASON` letters at least.
        by: who says so.
        until: the last day that it holds, `LONGEST` ahead at most; after it the change comes back.

    Raises:
        ConfigError: no entry of that path, no reason or person, or a day that is over or too far ahead.
    """
    if path not in {entry.path for entry in entries}:
        raise ConfigError(f"the ledger has no entry `{path}`", nearest(path, {entry.path for entry in entries}))
    if len(reason.strip()) < LEAST_REASON or not by.strip():
        need = f"a waiver needs a person and a reason of {LEAST_REASON} letters"
        raise ConfigError(need, "--reason TEXT, and git config user.email")
    today = datetime.date.today()
    if not today <= until <= today + LONGEST:
        wrong = "is over" if until < today else f"is more than {LONGEST.days} days ahead"
        raise ConfigError(f"--until {until} {wrong}", f"name a day up to {today + LONGEST}")
    return tuple(
        replace(entry, reason=reason, by=by, until=until.isoformat()) if entry.path == path else entry
        for entry in entries
    )
