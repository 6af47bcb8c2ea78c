"""Family 6, second part: what the repo is built from: pinned and hashed, known vulnerabilities, licences."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from carrental_mlops.errors import CrmError
from carrental_mlops.governance import licences, osv
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.locks import SHIPPED, Pin, locks, loose, pins
from carrental_mlops.governance.mending import from_head
from carrental_mlops.governance.rule import Code, Rule
from carrental_mlops.governance.view import RepoView

LOOSE = Code(
    "CRM610", Severity.ERROR, "a lock has an entry without version or hash",
    "Whoever can change that package, or the way to it, runs code in production.",
    "Lock again with hashes: `uv pip compile --generate-hashes`, or `crm upgrade`.",
)  # fmt: skip
NO_LOCK = Code(
    "CRM611", Severity.ERROR, "there is no lock of what serves",
    "No two builds hold the same code, and nobody can say which vulnerabilities are in it.",
    "`git checkout -- requirements/`, or `crm upgrade`, which writes it.",
    fixes="brings back what the last commit has, where the file is gone or empty and no merge is going on.",
)  # fmt: skip
VULNERABLE = Code(
    "CRM620", Severity.ERROR, "a locked package has a known vulnerability",
    "It is public how to attack it.",
    "Lock the version that is named as mended; where there is none, a waiver says who answers until then. Low and "
    "moderate ones are warnings.",
)  # fmt: skip
NOT_LOOKED_UP = Code(
    "CRM621", Severity.ERROR, "no vulnerability was looked up",
    "Without data nothing is found, and that is no good news.",
    "Allow the way to the OSV server, or set CRM_OSV to a local copy: the `all.zip` of PyPI that osv.dev publishes.",
    passing=True,
)  # fmt: skip
OLD_DATA = Code(
    "CRM622", Severity.ERROR, "the data on vulnerabilities is old",
    "What became known since then is not found.",
    "Copy OSV's data again; a copy holds 14 days.", passing=True,
)  # fmt: skip
DENIED = Code(
    "CRM630", Severity.ERROR, "a licence does not allow what we do",
    "To ship that package in an image may oblige us to publish our own code, or be forbidden.",
    "Take another package, or let the legal department's yes stand in a waiver.",
)  # fmt: skip
NO_LICENCE = Code(
    "CRM631", Severity.WARNING, "nobody knows under which licence a package is",
    "It may be one that forbids what we do.",
    "`make setup` installs the locks, whose metadata says it; a waiver says what a person has read.",
)  # fmt: skip
_HOLDS = datetime.timedelta(days=14)


def _lock(view: RepoView) -> Iterator[Finding]:
    there = locks(view)
    serving, mend = SHIPPED[0], "git checkout -- requirements/, or: crm upgrade"
    if serving not in there or not any(pin.path == serving for pin in pins(view)):
        what = "pins no package" if serving in there else "is not there"
        fix = from_head(view, serving, lambda raw: b"--hash=sha256:" in raw)
        yield NO_LOCK.found(f"{serving} {what}", mend, serving, fix=fix)
    for one in loose(view):
        yield LOOSE.found(f"{one.said} is not pinned to a version with a hash", "lock again with hashes",
                          one.path, one.line)  # fmt: skip


def _vulnerabilities(view: RepoView) -> Iterator[Finding]:
    locked = pins(view)
    if not locked:
        return
    try:
        looked = osv.look_up({(pin.name, pin.version) for pin in locked})
    except CrmError as error:
        yield NOT_LOOKED_UP.found(f"vulnerabilities were not looked up: {error.what}", error.fix)
        return
    if looked.records is not None and (looked.newest is None or view.today - looked.newest > _HOLDS):
        what = f"the newest of {looked.records} records at {osv.place()} is of {looked.newest}"
        yield OLD_DATA.found(what, "copy OSV's data again")
    for one in looked.found:
        pin = _first(locked, one.name, one.version)
        said = f"{one.name} {one.version}: {one.id}{f', {one.summary}' if one.summary else ''}"
        mend = f"lock {one.name}=={one.fixed} or later" if one.fixed else "nobody has mended it: replace or waive it"
        yield VULNERABLE.found(said, mend, pin.path, pin.line,
                               severity=Severity.ERROR if one.severe else Severity.WARNING)  # fmt: skip


def _licences(view: RepoView) -> Iterator[Finding]:
    shipped = {pin.name: pin for pin in reversed(pins(view)) if pin.path in SHIPPED}
    known = licences.licences(shipped, _site_packages(view.root))
    for name, pin in sorted(shipped.items()):
        said = known.get(name)
        if said is None:
            yield NO_LICENCE.found(f"{name} {pin.version}: its metadata is not here, or names no licence",
                                   "make setup, then crm check; or a waiver", pin.path, pin.line)  # fmt: skip
        elif licences.judge(said) == "denied":
            yield DENIED.found(f"{name} {pin.version} is under {said}", "take another package", pin.path, pin.line)
        elif licences.judge(said) == "unknown":
            yield NO_LICENCE.found(f"{name} {pin.version} is under {said!r}, which is in no list of ours",
                                   "read it, and say so in a waiver", pin.path, pin.line)  # fmt: skip


def _site_packages(root: Path) -> tuple[Path, ...]:
    """Of the repo's own environments."""
    return tuple(sorted([*root.glob(".venv/lib/*/site-packages"), *root.glob(".venvs/*/lib/*/site-packages")]))


def _first(locked: tuple[Pin, ...], name: str, version: str) -> Pin:
    """Where a package stands, in what is shipped before anywhere else."""
    places = [pin for pin in locked if (pin.name, pin.version) == (name, version)]
    return min(places, key=lambda pin: (SHIPPED.index(pin.path) if pin.path in SHIPPED else len(SHIPPED), pin.path))


def _data(view: RepoView) -> str:
    """Which data, as it lies there today: a server's answer holds a day."""
    where = osv.place()
    if where.startswith(("https://", "http://")):
        return f"{where} {view.today}"
    path = Path(where)
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path] if path.is_file() else []
    return f"{view.today} {[(str(f), (s := f.stat()).st_size, s.st_mtime_ns) for f in files]}"


def _environments(view: RepoView) -> str:
    """Which packages are installed where licences are read."""
    import sys

    folders = [*map(str, _site_packages(view.root)), *sys.path]
    return str([sorted(p.name for p in Path(f).glob("*.dist-info")) for f in folders if f])


LOCK = Rule("lock", (LOOSE, NO_LOCK), _lock)
VULNERABILITIES = Rule("vulnerabilities", (VULNERABLE, NOT_LOOKED_UP, OLD_DATA), _vulnerabilities, locks, _data)
LICENCES = Rule("licences", (DENIED, NO_LICENCE), _licences, locks, _environments)
