"""`crm upgrade` as one call: both versions fetched, overrides looked at, merged, checked, reported."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carrental_mlops import __version__
from carrental_mlops.errors import ConfigError, CrmError
from carrental_mlops.files import whole_file
from carrental_mlops.scaffold.catalogue import Question
from carrental_mlops.scaffold.ownership import RECORD, read_record
from carrental_mlops.scaffold.team_versions import installed_team, template_sides
from carrental_mlops.scaffold.versions import Material, material
from carrental_mlops.upgrade.changelog import version_key
from carrental_mlops.upgrade.dynamic_check import held
from carrental_mlops.upgrade.override_report import OverrideReport
from carrental_mlops.upgrade.phases import Outcome, foreseen, proceed, refuse_in_progress, start
from carrental_mlops.upgrade.plan import open_git, plan
from carrental_mlops.upgrade.upgrade_text import merge_request_text

if TYPE_CHECKING:
    from carrental_mlops.governance.check import CheckResult

Ask = Callable[[Question, Mapping[str, str]], str]


@dataclass(frozen=True)
class Upgraded:
    """An upgrade with all that it said."""

    outcome: Outcome
    overrides: OverrideReport | None
    """None where it goes on from a journal: it was said before."""
    checked: CheckResult | None
    """What `crm check` says of the result; None where there is none yet."""

    @property
    def markdown(self) -> str:
        """Fit for a merge request."""
        return merge_request_text(self.outcome, self.overrides, self.checked)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **self.outcome.to_json(),
            "overrides": self.overrides.to_json() if self.overrides else None,
            "check": self.checked.to_json() if self.checked else None,
            "markdown": self.markdown,
        }


def find_root(begin: Path | None = None) -> Path:
    """The nearest folder, from `begin` (default: here) upwards, that holds `.crm.json`.

    Raises:
        ConfigError: there is none.
    """
    begin = (begin or Path.cwd()).resolve()
    for folder in (begin, *begin.parents):
        if (folder / RECORD).is_file():
            return folder
    raise ConfigError(f"{begin} is not inside a repo that crm new made: no {RECORD}", "cd into one, or: crm new")


def versions(root: Path, to: str | None) -> tuple[Material, Material]:
    """The version that a repo stands on and the one to go to; None: the installed one.

    Raises:
        ConfigError: an upgrade is in progress, a version is gone, or the installed one is older than the repo's.
        PlatformError: the index cannot be reached.
    """
    refuse_in_progress(open_git(root))
    stands = read_record(root).version
    if to is None and version_key(__version__) < version_key(stands):
        raise ConfigError(
            f"this repo stands on {stands}, and {__version__} is installed",
            f"pip install 'carrental-mlops>={stands}', or name a version: --to {__version__}",
        )
    return material(stands), material(to or __version__)


def moves(root: Path, old: Material, new: Material, trust: bool = False) -> list[str]:
    """What would move, such as `carrental-mlops 1.0 to 1.1`; of a team's template its package too.

    Raises:
        TemplateError: the team's package is not installed, or not allowed.
    """
    team = read_record(root).package
    pairs = [("carrental-mlops", old.version, new.version)]
    if team is not None:
        pairs.append((team.name, team.version, installed_team(read_record(root), trust=trust).version))
    return [f"{name} {before} to {after}" for name, before, after in pairs if before != after]


def overrides(root: Path, old: Material, new: Material, run: bool | None = False) -> OverrideReport:
    """What the newer version means for the hooks that the repo overrides; writes nothing.

    Args:
        root: the model repo.
        old: the version that it stands on.
        new: the version to go to.
        run: also run a copy of the repo under the newer version; None where a default that it overrides has changed.
    """
    return held(root, old, new, run_it=run)


def upgrade(
    root: Path,
    old: Material,
    new: Material,
    given: Mapping[str, str] | None = None,
    *,
    ask: Ask | None = None,
    stash: bool = False,
    anyway: bool = False,
    dry_run: bool = False,
    check: bool = True,
    run: bool | None = False,
    trust: bool = False,
) -> Upgraded:
    """Bring a newer version into a repo; the override report comes before anything is written.

    Args:
        root: the model repo.
        old: the version that it stands on.
        new: the version to go to.
        given: answers to new questions.
        ask: for those that are not given; None takes defaults.
        stash: put uncommitted work away and back.
        anyway: also where an override would break.
        dry_run: say what would change; the repo stays as it is to the byte.
        check: run `crm check` on the result.
        run: as for `overrides`.
        trust: also a template of a package that `CRM_TEMPLATE_PACKAGES` does not name.

    Raises:
        ConfigError: an override would break, there is uncommitted work, or what git would lose is in the way.
        TemplateError: a template or an answer is not what it must be.
        PlatformError: the disk is full or a folder cannot be written; the repo is as it was.
    """
    said = overrides(root, old, new, run)
    if said.blocking and not (anyway or dry_run):
        first = said.blocking[0]
        raise ConfigError(
            f"{first.place}: `{first.hook or first.cls}` does not fit {new.version}: {first.otherwise}"
            + (f" (and {len(said.blocking) - 1} more)" if len(said.blocking) > 1 else ""),
            f"{first.mend}; all of it: crm upgrade --to {new.version} --check; upgrade as it is: --anyway",
        )
    planned_of = partial(plan, root, old, new, given, ask=ask, templates=partial(template_sides, trust=trust))
    if dry_run:
        with tempfile.TemporaryDirectory(prefix="crm-upgrade-") as scratch:
            return Upgraded(foreseen(planned_of(scratch=Path(scratch))), said, None)
    planned = planned_of()
    look = _Look(root)
    return _kept(root, Upgraded(start(planned, stash=stash, look=look if check else None), said, look.result))


def go_on(root: Path, *, check: bool = True) -> Upgraded:
    """`crm upgrade --continue`. Raises as `proceed` does."""
    look = _Look(root)
    outcome = proceed(root, look if check else None)
    return _kept(root, Upgraded(outcome, None, look.result))


class _Look:
    """`crm check` of the merged repo, before the commit."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.result: CheckResult | None = None

    def __call__(self) -> None:
        from carrental_mlops.governance.check import check

        self.result = check(self._root)


def _kept(root: Path, done: Upgraded) -> Upgraded:
    """The report beside the repo's other reports, which git ignores; it is said on stdout anyway."""
    outcome = done.outcome
    path = root / ".crm" / "reports" / f"upgrade-{outcome.version_from}-{outcome.version_to}.md"
    try:
        with whole_file(path) as draft:
            draft.write_text(done.markdown, encoding="utf-8")
    except CrmError:  # the upgrade itself is done
        pass
    return done
