"""Template changes that a team declined, and come back until they are accepted or waived."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from carrental_mlops.errors import ConfigError
from carrental_mlops.files import whole_file

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
        """Whether it is left alone on `today`."""
        return bool(self.reason and self.by and self.until) and datetime.date.fromisoformat(self.until) >= today


def read_ledger(root: Path) -> tuple[Declined, ...]:
    """The entries of the repo's ledger, none where it has no ledger.

    Raises:
        ConfigError: the file does not hold what we write.
    """
    path = root / LEDGER
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        found = tuple(Declined(**entry) for entry in entries)
        for entry in found:
            if entry.until:
                datetime.date.fromisoformat(entry.until)
    except FileNotFoundError:
        return ()
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: {error}", f"git checkout -- {LEDGER}") from error
    return found


def write_ledger(root: Path, entries: tuple[Declined, ...]) -> None:
    """Write the ledger, sorted; no file where there is no entry."""
    path = root / LEDGER
    if not entries:
        path.unlink(missing_ok=True)
        return
    told = [asdict(entry) for entry in sorted(entries, key=lambda e: (e.path, e.to))]
    with whole_file(path) as draft:
        draft.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
