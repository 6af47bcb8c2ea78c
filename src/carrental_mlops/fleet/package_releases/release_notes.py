"""What a release means for teams: its hooks, its announced ends, and which repos of a fleet it touches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from carrental_mlops.core.deprecated import Change, notice
from carrental_mlops.errors import ConfigError, CrmError
from carrental_mlops.fleet.package_releases.hook_changes import HookChange, hook_changes
from carrental_mlops.fleet.package_releases.usage import Usage, usage
from carrental_mlops.scaffold.ownership import read_record
from carrental_mlops.scaffold.versions import Material, material
from carrental_mlops.upgrade.changelog import Entry, hook_entries, released, version_key
from carrental_mlops.upgrade.deprecations import declared
from carrental_mlops.upgrade.override_report import Verdict, report


@dataclass(frozen=True)
class Touched:
    """One override of one repo that the release concerns."""

    repo: str
    """Its name in the fleet."""
    version: str
    """That it stands on."""
    verdict: Verdict
    hook: str
    place: str
    otherwise: str
    """One sentence: what goes wrong, or is missed, if nobody acts."""
    mend: str


@dataclass(frozen=True)
class Reach:
    """The release held against every repo of a fleet."""

    usage: Usage
    touched: tuple[Touched, ...]
    current: tuple[str, ...]
    """Repos that stand on the release, or on a later version."""

    @property
    def repos(self) -> tuple[str, ...]:
        """The repos that are touched, sorted."""
        return tuple(sorted({one.repo for one in self.touched}))


@dataclass(frozen=True)
class ReleaseNotes:
    """One release."""

    old: str
    new: str
    changes: tuple[HookChange, ...]
    changelog: tuple[Entry, ...]
    """What stands under **Hook** between the two versions."""
    deprecations: tuple[str, ...]
    """Hooks that still answer and will go, a sentence each."""
    fleet: Reach | None
    """None where no fleet was given."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        fleet = self.fleet
        told = None if fleet is None else {**fleet.usage.to_json(), "touched": [asdict(t) for t in fleet.touched],
                                           "current": list(fleet.current)}  # fmt: skip
        return {
            "from": self.old,
            "to": self.new,
            "hooks": [asdict(change) for change in self.changes],
            "changelog": [asdict(entry) for entry in self.changelog],
            "deprecations": list(self.deprecations),
            "fleet": told,
        }

    def markdown(self) -> str:
        """As a page."""
        lines = [f"# carrental-mlops {self.new}", "", f"Since {self.old}.", ""]
        lines += (
            ["## Hooks", "", *(self._line(change) for change in self.changes)] if self.changes else ["No hook differs."]
        )
        told = [f"- {entry.version}: {entry.text}" for entry in self.changelog]
        lines += ["", "## From the changelog", "", *told] if told else []
        ends = [f"- {sentence}{self._count(sentence.split('`')[1])}" for sentence in self.deprecations]
        lines += ["", "## Announced ends", "", *ends] if ends else []
        return "\n".join([*lines, "", *self._whom()])

    def _line(self, change: HookChange) -> str:
        what = {"default": "another default"}.get(change.what, change.what)
        said = f"- `{change.hook}`: {what}{self._count(change.hook)}"
        if change.old_signature != change.new_signature and change.what != "added":
            said += f"\n  - was `{change.old_signature}`, is `{change.new_signature or 'gone'}`"
        return "\n  - ".join([said, *change.details])

    def _count(self, hook: str) -> str:
        if self.fleet is None:
            return ""
        repos = self.fleet.usage.repos_of(hook)
        return (
            f"; {len(repos)} of {len(self.fleet.usage.repos)} repos override it" if repos else "; no repo overrides it"
        )

    def _whom(self) -> list[str]:
        if self.fleet is None:
            return ["Whom it touches was not asked: crm release-notes --fleet PLACE", ""]
        lines = [f"## Whom it touches: {len(self.fleet.repos)} of {len(self.fleet.usage.repos)} repos", ""]
        for one in self.fleet.touched:
            said = f"`{one.hook}`: {one.otherwise}" if one.hook else one.otherwise
            fix = f" Fix: {one.mend}" if one.mend else ""
            lines.append(f"- **{one.repo}** ({one.version}) {one.verdict}: {one.place} {said}{fix}")
        lines += [f"- not read: {sentence}" for sentence in self.fleet.usage.unread]
        return [*lines, ""]


def release_notes(
    new: Material,
    old: Material | None,
    repos: Mapping[str, Path] | None = None,
    version: Callable[[str], Material] = material,
) -> ReleaseNotes:
    """What `new` brings to teams.

    Args:
        new: the release.
        old: what it is compared with; None: the version before it in its changelog, else the oldest one of the fleet.
        repos: of a fleet, each folder by the repo's name; held against `new` from the version that it stands on.
        version: where a version's sources come from.

    Raises:
        ConfigError: nothing says what to compare with, and no repo stands on an earlier version.
        PlatformError: a version cannot be fetched.
    """
    old = old or version(_before(new, repos or {}))
    return ReleaseNotes(
        old.version,
        new.version,
        tuple(hook_changes(old, new)),
        tuple(hook_entries(new.changelog, old.version, new.version)),
        tuple(_ends(declared(new))),
        None if repos is None else _held(repos, new, version),
    )


def _before(new: Material, repos: Mapping[str, Path]) -> str:
    earlier = [v for v in released(new.changelog) if version_key(v) < version_key(new.version)]
    if earlier:
        return max(earlier, key=version_key)
    stands = {read_record(root).version for root in repos.values()}
    if not stands:
        raise ConfigError(
            f"the changelog of {new.version} names no version before it",
            "crm release-notes --from VERSION, or --fleet PLACE with repos of an earlier one",
        )
    return min(stands, key=version_key)


def _ends(changes: tuple[Change, ...]) -> list[str]:
    return [said for change in changes if (said := notice(change.owner, change.hook, (change,)))]


def _held(repos: Mapping[str, Path], new: Material, version: Callable[[str], Material]) -> Reach:
    counted = usage(repos, version)
    touched: list[Touched] = []
    current: list[str] = []
    unread = list(counted.unread)
    for name, root in repos.items():
        try:
            stands = read_record(root).version
            if version_key(stands) >= version_key(new.version):
                current.append(name)
                continue
            for f in report(root, version(stands), new).findings:
                if f.verdict != "fine":
                    touched.append(Touched(name, stands, f.verdict, f.hook, f.place, f.otherwise, f.mend))
        except CrmError as error:
            said = f"{name}: {error.what}"
            unread += [] if said in unread else [said]
    return Reach(Usage(counted.hooks, counted.repos, tuple(unread)), tuple(touched), tuple(current))
