"""Where one repo stands: what `crm check`, `.crm.json`, the ledger, waivers and releases say, and nothing guessed."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeVar

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.releases.evidence import load_test_evidence
from carrental_mlops.deploy.releases.evidence import waivers as release_waivers
from carrental_mlops.deploy.releases.release import Stored
from carrental_mlops.deploy.releases.store import ReleaseStore
from carrental_mlops.errors import CrmError
from carrental_mlops.fleet.processes import Checked, crm_check
from carrental_mlops.fleet.versions import Versions, behind
from carrental_mlops.governance.ledger import read_ledger
from carrental_mlops.governance.view import RepoView
from carrental_mlops.governance.waivers import read as read_waivers
from carrental_mlops.integrations.mlflow_client import database_of, tracking_uri
from carrental_mlops.integrations.mlflow_runs import runs
from carrental_mlops.scaffold.ownership import read_record
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.repo_overrides import RepoCode

_Found = TypeVar("_Found")
_RUNS = 50
"""Of a store, the latest, in which the last training is looked for."""
_store = Lock()
"""MLflow opens a store for one thread at a time."""
SloState = Literal["held", "missed", "unknown"]


@dataclass(frozen=True)
class Waived:
    """What somebody answers for."""

    what: str
    """Code of a finding, or the kind of evidence that a release lacks."""
    person: str
    until: str
    """ISO date."""
    reason: str


@dataclass(frozen=True)
class Deployed:
    """A release that an environment took last."""

    env: str
    release: str
    at: str
    """ISO, UTC."""


@dataclass
class Standing:
    """One service. What is None or `unknown` nobody says; `unknown` tells why."""

    name: str
    place: str
    canary: bool = False
    service: str | None = None
    owner: str | None = None
    tier: int | None = None
    template: str | None = None
    template_version: str | None = None
    package: str | None = None
    """Version of the package in the lock, else what pyproject.toml asks for."""
    newest: str = ""
    behind_days: int | None = None
    """Days since a version newer than its own could be had; 0: it has the newest."""
    overrides: tuple[str, ...] = ()
    """`TrainStep.sample_weight (src/pay/steps.py:21)`."""
    ledger_open: tuple[str, ...] = ()
    """Paths of template changes that were declined, and nobody answers for."""
    ledger_waived: int = 0
    waivers: tuple[Waived, ...] = ()
    """Those that hold today, the first to expire first."""
    score: int | None = None
    blocking: int | None = None
    """Findings that block a service of its tier."""
    codes: tuple[str, ...] = ()
    """Of its findings."""
    last_train: str | None = None
    """ISO, UTC."""
    last_deploy: Deployed | None = None
    slo: SloState = "unknown"
    slo_said: tuple[str, ...] = ()
    unknown: dict[str, str] = field(default_factory=dict)
    """Field to why nobody says it."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def standing(
    name: str, place: str, root: Path, newest: Material, versions: Versions, today: datetime.date,
    *, canary: bool = False, check: bool = True,
) -> Standing:  # fmt: skip
    """Where the repo at `root` stands.

    Args:
        name: of the repo in the fleet.
        place: where it is, for a reader.
        root: its folder.
        newest: the newest version of the package.
        versions: what is kept of each version.
        today: UTC.
        canary: whether a campaign takes it first.
        check: ask `crm check`, in a process of its own, for the score.
    """
    found = Standing(name, place, canary, newest=newest.version)
    reader = _Reader(found, RepoView(root, today), newest, versions)
    reader.read_record()
    reader.read_code()
    reader.read_config()
    reader.read_waivers()
    reader.read_releases()
    reader.read_training()
    reader.read_check(check)
    return found


class _Reader:
    """Fills a standing; what cannot be read becomes a sentence in `unknown`."""

    def __init__(self, found: Standing, view: RepoView, newest: Material, versions: Versions) -> None:
        self.found, self.view, self.newest, self.versions = found, view, newest, versions
        self.config: RepoConfig | None = None

    def read_record(self) -> None:
        """Template, its version, the package's, the age behind."""
        record = self._tried("template", lambda: read_record(self.view.root))
        self.found.package = self._package()
        if record is None:
            return
        self.found.template, self.found.template_version = record.template, record.version
        days, first = behind(record.version, self.newest.version, self.newest.changelog, self.view.today)
        self.found.behind_days = days
        if days is None:
            self.found.unknown["behind_days"] = f"the changelog has no day for {first}"

    def read_code(self) -> None:
        """Overrides and the ledger."""
        version = self.found.template_version or self.newest.version
        material = self._tried("overrides", lambda: self.versions.get(version))
        if material is not None:
            with self.versions.reading:
                code = RepoCode(self.view.root, material)
                found = code.overrides
            self.found.overrides = tuple(f"{o.hook.owner}.{o.hook.name} ({o.place})" for o in found)
            if code.code.unreadable:
                broken = next(iter(code.code.unreadable.values()))
                self.found.unknown["overrides"] = f"src/{broken.shown}:{broken.line} does not parse"
        entries = self._tried("ledger", lambda: read_ledger(self.view.root)) or ()
        self.found.ledger_open = tuple(e.path for e in entries if not e.waived(self.view.today))
        self.found.ledger_waived = len(entries) - len(self.found.ledger_open)

    def read_config(self) -> None:
        """Service, owner, tier."""
        config = self.view.config
        if config is None:
            self.found.unknown["owner"] = "config/crm.yaml cannot be read: crm config validate"
            return
        self.config = config
        self.found.service, self.found.owner, self.found.tier = config.service, config.owner, config.tier

    def read_waivers(self) -> None:
        """Of findings and of evidence."""
        held, wrong = read_waivers(self.view)
        found = [Waived(one.code, one.person, one.until.isoformat(), one.reason) for one in held]
        if wrong:
            self.found.unknown["waivers"] = wrong[0].what
        noon = datetime.datetime.combine(self.view.today, datetime.time(), datetime.UTC)
        told = self._tried("waivers", lambda: release_waivers(self.view.root, noon)) or ()
        found += [Waived(one.what, one.by, one.expires.date().isoformat(), one.reason) for one in told]
        self.found.waivers = tuple(sorted(found, key=lambda one: one.until))

    def read_releases(self) -> None:
        """Last deploy and what it says of SLO and training."""
        if self.config is None:
            why = "config/crm.yaml cannot be read"
            self.found.unknown |= {"last_deploy": why, "slo": why}
            return
        stored = self._tried("last_deploy", self._last)
        if stored is None:
            self.found.unknown.setdefault("last_deploy", "no release of it was applied, as far as its repo says")
            self.found.unknown.setdefault("slo", "no release, and so no load test of one")
            return
        release = stored.release
        self.found.last_deploy = Deployed(release.env, release.id, release.at.isoformat())
        gate = next((one for one in release.evidence if one.kind == "gate"), None)
        self.found.last_train = gate.at.isoformat() if gate is not None else None
        self._slo(stored, self.config)

    def read_training(self) -> None:
        """The last training run of its stores, where that is later than the model of its release."""
        if self.config is None:
            self.found.unknown["last_train"] = "config/crm.yaml cannot be read"
            return
        names = {config.mlflow.tracking_uri for _, config in self.view.configs.values()}
        places = {tracking_uri(self.view.root, name) for name in names}
        told = [self._tried("last_train", partial(self._trained, uri, self.config.service)) for uri in sorted(places)]
        found = [one for one in (*told, self.found.last_train) if one]
        self.found.last_train = max(found, default=None)
        if not found:
            self.found.unknown.setdefault("last_train", "no release names a model, and its store holds no training")

    def _trained(self, uri: str, service: str) -> str | None:
        database = database_of(uri)
        if database is not None and not database.is_file():
            return None
        with _store:
            ended = [r for r in runs(uri, service, _RUNS) if r.pipeline == "training" and r.status == "FINISHED"]
        newest = max((run.started_ms for run in ended), default=None)
        return datetime.datetime.fromtimestamp(newest / 1000, datetime.UTC).isoformat() if newest else None

    def read_check(self, wanted: bool) -> None:
        """Score and blocking findings."""
        told: Checked | None = None
        if wanted:
            told = self._tried("score", lambda: crm_check(self.view.root))
        else:
            self.found.unknown["score"] = "not asked (--no-check)"
        if told is not None:
            self.found.score, self.found.blocking, self.found.codes = told.score, told.blocking, told.codes

    def _last(self) -> Stored | None:
        """The newest release that an environment took, the last environment first."""
        for env in reversed(list(self.view.configs)):
            place = self.view.configs[env][1].deploy.releases
            found = ReleaseStore(self.view.root, place).last(env)
            if found is not None:
                return found
        return None

    def _slo(self, stored: Stored, config: RepoConfig) -> None:
        release = stored.release
        told = next((one for one in release.evidence if one.kind == "load_test"), None)
        fresh = load_test_evidence(self.view.root, config.slo, release.model)
        if fresh is not None and (told is None or fresh.at > told.at):
            told = fresh
        if told is None:
            self.found.unknown["slo"] = f"no load test of the model of {release.id}"
            return
        self.found.slo = "held" if told.passed else "missed"
        self.found.slo_said = (f"load test of {told.at:%Y-%m-%d}, {release.id}", *told.said)

    def _package(self) -> str | None:
        lock = self.view.text("requirements/pipelines.txt")
        pin = re.search(r"^carrental-mlops(?:\[[^\]]*\])?==([^\s;\\]+)", lock, re.M)
        if pin:
            return pin[1]
        try:
            asked = tomllib.loads(self.view.text("pyproject.toml")).get("project", {}).get("dependencies", [])
        except tomllib.TOMLDecodeError:
            self.found.unknown["package"] = "pyproject.toml does not parse"
            return None
        for one in asked:
            found = re.match(r"carrental[-_.]mlops(?:\[[^\]]*\])?\s*(.*)", str(one))
            if found:
                return found[1].partition(";")[0].strip() or "any"
        self.found.unknown["package"] = "neither the lock nor pyproject.toml names carrental-mlops"
        return None

    def _tried(self, name: str, read: Callable[[], _Found]) -> _Found | None:
        try:
            return read()
        except CrmError as error:
            self.found.unknown[name] = error.what.splitlines()[0]
            return None
