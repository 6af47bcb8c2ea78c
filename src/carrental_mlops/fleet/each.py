"""The same asked of, or done in, each repo of a fleet, several at a time."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from carrental_mlops.errors import CrmError
from carrental_mlops.fleet.clones import Clones
from carrental_mlops.fleet.inventory import Fleet, Member
from carrental_mlops.fleet.processes import crm_check, run_in
from carrental_mlops.fleet.standing import Standing, standing
from carrental_mlops.fleet.versions import Versions

_Found = TypeVar("_Found")
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Checks:
    """`crm check` of one repo."""

    repo: str
    score: int | None
    findings: int
    blocking: int
    lines: tuple[str, ...]
    """Of what blocks."""
    error: str = ""
    """Why it could not be checked."""

    @property
    def bad(self) -> bool:
        """Whether anything blocks, or nobody knows."""
        return bool(self.blocking or self.error)

    def row(self) -> tuple[object, ...]:
        """Of a table."""
        first = self.error or (self.lines[0] if self.lines else "")
        return self.repo, "unknown" if self.score is None else self.score, self.findings, self.blocking, first[:100]


@dataclass(frozen=True)
class Ended:
    """A command in one repo."""

    repo: str
    code: int | None
    seconds: float
    said: str
    error: str = ""

    @property
    def bad(self) -> bool:
        """Whether it failed, or did not end in time."""
        return self.code != 0

    @property
    def ended(self) -> str:
        """In words."""
        if self.error:
            return self.error
        return f"exit {self.code}, {self.seconds:.1f} s" if self.code is not None else f"cut off, {self.seconds:.0f} s"


def standings(
    fleet: Fleet, clones: Clones, versions: Versions, newest: str, jobs: int, check: bool, tell: Tell
) -> list[Standing]:
    """Where each repo stands; one that cannot be had is there, with the reason.

    Args:
        fleet: the repos.
        clones: the repos as folders.
        versions: what is kept of each version.
        newest: the version that age is counted against.
        jobs: repos at a time.
        check: ask `crm check`.
        tell: is told each name once it is known.

    Raises:
        ConfigError: the newest version is not to be had.
    """
    material, today = versions.get(newest), datetime.datetime.now(datetime.UTC).date()

    def one(member: Member) -> Standing:
        try:
            root = clones.at(member)
        except CrmError as error:
            found = Standing(member.name, member.shown, member.canary, newest=newest)
            every = ("owner", "template", "package", "behind_days", "overrides", "ledger", "waivers", "score")
            found.unknown = dict.fromkeys((*every, "last_train", "last_deploy", "slo"), error.what)
            return found
        return standing(member.name, member.shown, root, material, versions, today, canary=member.canary, check=check)

    return _each(fleet, one, jobs, tell)


def check_all(fleet: Fleet, clones: Clones, jobs: int, tell: Tell) -> list[Checks]:
    """`crm check` of each repo."""

    def one(member: Member) -> Checks:
        try:
            told = crm_check(clones.at(member))
        except CrmError as error:
            return Checks(member.name, None, 0, 0, (), error.what)
        return Checks(member.name, told.score, told.findings, told.blocking, told.lines)

    return _each(fleet, one, jobs, tell)


def run_all(fleet: Fleet, clones: Clones, command: Sequence[str], jobs: int, limit_s: float, tell: Tell) -> list[Ended]:
    """A command in the folder of each repo; one that fails does not stop the others."""

    def one(member: Member) -> Ended:
        try:
            ran = run_in(clones.at(member), command, limit_s)
        except CrmError as error:
            return Ended(member.name, None, 0.0, "", error.what)
        return Ended(member.name, ran.code, round(ran.seconds, 3), ran.said)

    return _each(fleet, one, jobs, tell)


def _each(fleet: Fleet, do: Callable[[Member], _Found], jobs: int, tell: Tell) -> list[_Found]:
    def told(member: Member) -> _Found:
        found = do(member)
        tell(member.name)
        return found

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(told, fleet.members))
