"""Family 4: feature views against the catalogue of declared sources, and feature sets against the views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.governance.declarations import Declarations, Source, read
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.rule import Code, Rule
from carrental_mlops.governance.rules.configuration import SOURCES
from carrental_mlops.governance.view import RepoView

UNDECLARED = Code(
    "CRM401", Severity.ERROR, "a feature view reads a source that the catalogue does not declare",
    "Nobody has agreed to deliver it: it may change, stop, or hold personal data that this service may not use.",
    "Declare it in config/sources.yaml with its owner, once the owner has agreed.",
)  # fmt: skip
NO_VIEW = Code(
    "CRM402", Severity.ERROR, "a feature set asks for a feature that no view declares",
    "Training stops at the join.",
    "Define the view in feature_views.py, or take the reference out of `stored` in features.py.",
)  # fmt: skip
DARK = Code(
    "CRM403", Severity.WARNING, "a feature declaration cannot be read from the text",
    "It is not checked against the catalogue: what is put together while the code runs, nobody can review.",
    "Write it as literals: `FeatureView(name=\"…\", source=FileSource(path=\"…\"))`, names at the top of the module.",
)  # fmt: skip
TWICE = Code(
    "CRM404", Severity.ERROR, "two feature views have one name",
    "Feast keeps the last one; the other's features are silently gone.",
    "Give one of them another name.",
)  # fmt: skip
NO_ENTITY = Code(
    "CRM405", Severity.ERROR, "a history is kept by an entity that crm.yaml does not name",
    "The features pipeline finds no such column.",
    "Add it to `columns.entities` of crm.yaml, or mend `entity=` of the History.",
)  # fmt: skip
BROKEN = Code(
    "CRM406", Severity.ERROR, "the catalogue of sources cannot be read",
    "No view can be checked against it.",
    "Each entry of config/sources.yaml has `name`, `at`, `owner` and may have `about`.",
)  # fmt: skip
UNREAD = Code(
    "CRM407", Severity.NOTE, "a declared source is read by no view",
    "Its owner delivers it for nobody.",
    "Remove the entry.",
)  # fmt: skip
CODES = (UNDECLARED, NO_VIEW, DARK, TWICE, NO_ENTITY, BROKEN, UNREAD)


class Declared(Frozen):
    """An entry of the catalogue."""

    name: Annotated[str, Field(min_length=1)]
    """As `name=` of the source in feature_views.py says it, or any name where that has none."""
    at: Annotated[str, Field(min_length=1)]
    """Path, table or topic; one that ends in `/` declares all below it."""
    owner: Annotated[str, Field(min_length=3)]
    """Who delivers it."""
    about: str = ""

    def covers(self, source: Source) -> bool:
        """Whether it declares `source`: what is read must lie where the entry says."""
        if source.at is None or source.at == source.name:
            return source.name in (self.name, self.at)
        return source.at == self.at or (self.at.endswith("/") and source.at.startswith(self.at))


@dataclass(frozen=True)
class _Catalogue:
    entries: tuple[Declared, ...]
    wrong: tuple[Finding, ...]


def _find(view: RepoView) -> Iterator[Finding]:
    if view.package is None:
        return
    found = read({path: view.text(path) for path in view.below(view.package, suffix=".py")})
    catalogue = _catalogue(view)
    yield from catalogue.wrong
    if not catalogue.wrong:
        yield from _sources(view, found, catalogue.entries)
    yield from _names(view, found)
    for path, line, what in found.unreadable:
        yield DARK.found(f"{what} cannot be read without running the code", "write it as literals", path, line)


def _sources(view: RepoView, found: Declarations, entries: tuple[Declared, ...]) -> Iterator[Finding]:
    used = set()
    for one in found.views:
        if one.source is None:
            continue
        entry = next((entry for entry in entries if entry.covers(one.source)), None)
        if entry is not None:
            used.add(entry.name)
            continue
        at = one.source.at or one.source.name or "a source without a name"
        yield UNDECLARED.found(f"view `{one.name}` reads {one.source.kind} {at}, which {SOURCES} does not declare",
                               f"declare it in {SOURCES}: name, at, owner", one.source.path,
                               one.source.line)  # fmt: skip
    for entry in entries:
        if entry.name not in used:
            yield UNREAD.found(f"no view reads `{entry.name}`", "remove the entry", SOURCES,
                               view.line_of(SOURCES, entry.name))  # fmt: skip


def _names(view: RepoView, found: Declarations) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for one in (*found.histories, *found.views):
        if one.name is None:
            continue
        if one.name in seen:
            yield TWICE.found(f"view `{one.name}` stands twice, first at {seen[one.name]}", "give one another name",
                              one.path, one.line)  # fmt: skip
        seen.setdefault(one.name, f"{one.path}:{one.line}")
    known = {one.name: one.features for one in (*found.histories, *found.views)}
    complete = not any(one.name is None for one in found.views)
    for used in found.used:
        name, _, feature = used.reference.partition(":")
        features = known.get(name)
        if (name not in known and complete) or (features is not None and feature not in features):
            yield NO_VIEW.found(f"no view declares `{used.reference}`", "define it in feature_views.py",
                                used.path, used.line)  # fmt: skip
    entities = set(view.config.columns.entities) if view.config else set()
    for entity, path, line in found.entities:
        if view.config and entity not in entities:
            yield NO_ENTITY.found(f"`{entity}` is not among `columns.entities` of crm.yaml", "add it there", path, line)


def _catalogue(view: RepoView) -> _Catalogue:
    import yaml

    raw = view.read(SOURCES)
    if raw is None:
        return _Catalogue((), ())
    mend = "an entry has name, at, owner, and may have about"
    try:
        return _Catalogue(tuple(TypeAdapter(list[Declared]).validate_python(yaml.safe_load(raw) or [])), ())
    except yaml.YAMLError as error:
        return _Catalogue((), (BROKEN.found(f"not YAML: {error}".replace("\n", " "), "mend the YAML", SOURCES),))
    except ValidationError as error:
        said = [f"entry {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return _Catalogue((), tuple(BROKEN.found(one, mend, SOURCES) for one in said))


def _reads(view: RepoView) -> tuple[str, ...]:
    return (*(view.below(view.package, suffix=".py") if view.package else ()), "config/crm.yaml", SOURCES)


RULE = Rule("features", CODES, _find, _reads)
