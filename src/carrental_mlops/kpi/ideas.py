"""`ideas.yaml` of a model repo: who had which idea on which day; committed by the team."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from carrental_mlops.errors import ConfigError
from carrental_mlops.files import whole_file
from carrental_mlops.kpi.events import Idea

FILE = "ideas.yaml"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_HEAD = "# Ideas of this service: crm kpi idea NAME adds one, crm kpi show says what became of it.\n"


def ideas(root: Path) -> tuple[Idea, ...]:
    """The ideas of the repo at `root`, as written; none where there is no file.

    Raises:
        ConfigError: the file is no list of ideas, or names a feature twice.
    """
    import yaml

    path = root / FILE
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or []
        if isinstance(given, list):
            given = [{**one, "date": _instant(one.get("date"))} if isinstance(one, dict) else one for one in given]
        found = TypeAdapter(tuple[Idea, ...]).validate_python(given)
    except FileNotFoundError:
        return ()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}", "mend the YAML at that line") from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {at}: {first['msg']}", "an idea has feature, date, person") from error
    names = [one.feature for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{path} names {', '.join(twice)} twice", "keep the earlier entry of each")
    return found


def note(root: Path, feature: str, day: date, person: str, today: date, dry_run: bool = False) -> tuple[Path, bool]:
    """The file, and whether `feature` was added; the same entry again changes nothing.

    Args:
        root: of the model repo.
        feature: kebab-case; the service's own name for the service itself.
        day: on which somebody had it.
        person: who.
        today: an idea of a later day is refused.
        dry_run: True writes nothing.

    Raises:
        ConfigError: the name or the day cannot be, or the feature is there with another day or person.
    """
    if not _NAME.fullmatch(feature):
        raise ConfigError(f"`{feature}` is no name of a feature", "letters a-z, digits and -, such as night-rentals")
    if day > today:
        raise ConfigError(f"{day} has not come yet", f"--date {today}, or the day on which somebody had the idea")
    path, known = root / FILE, ideas(root)
    made = Idea(feature=feature, date=datetime(day.year, day.month, day.day, tzinfo=UTC), person=person)
    same = next((one for one in known if one.feature == feature), None)
    if same is not None:
        if same != made:
            raise ConfigError(
                f"{path} has {feature} already: {same.date:%Y-%m-%d}, {same.person}",
                f"mend it there; git log -p {FILE} says who wrote it",
            )
        return path, False
    if not dry_run:
        _append(path, made)
    return path, True


def _append(path: Path, idea: Idea) -> None:
    import yaml

    before = path.read_text(encoding="utf-8") if path.is_file() else _HEAD
    entry = {"feature": idea.feature, "date": idea.date.date(), "person": idea.person}
    text = yaml.safe_dump([entry], sort_keys=False, allow_unicode=True)
    with whole_file(path) as draft:
        draft.write_text(before + ("" if before.endswith("\n") else "\n") + text, encoding="utf-8")


def _instant(given: object) -> object:
    if isinstance(given, date) and not isinstance(given, datetime):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    return given
