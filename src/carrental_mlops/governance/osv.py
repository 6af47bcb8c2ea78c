"""Known vulnerabilities of packages, in the OSV format: of a local copy, or asked of a server.

Source: https://ossf.github.io/osv-schema/ (records), https://google.github.io/osv.dev/api/ (server).
"""

from __future__ import annotations

import datetime
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

from carrental_mlops.errors import DataError, PlatformError
from carrental_mlops.governance.locks import normal

VARIABLE = "CRM_OSV"
"""A folder or zip of OSV records (the `all.zip` that osv.dev publishes for PyPI), or the URL of an OSV server."""
SERVER = "https://api.osv.dev"
_BATCH = 500
_TIMEOUT_S = 30


@dataclass(frozen=True)
class Vulnerability:
    """One that a locked package has."""

    name: str
    version: str
    id: str
    """The best known of its names: CVE, else GHSA, else the record's own."""
    summary: str
    fixed: str | None
    """Lowest version above that is free of it; None: nobody has mended it."""
    severe: bool
    """False where the record says that it is low or moderate."""


@dataclass(frozen=True)
class Looked:
    """What was found, and how new the data is."""

    found: tuple[Vulnerability, ...]
    newest: datetime.date | None
    """Day of the newest record of a local copy; None: a server was asked."""
    records: int | None
    """Of a local copy."""


def place() -> str:
    """Where vulnerabilities are looked up: CRM_OSV, else osv.dev."""
    return os.environ.get(VARIABLE) or SERVER


def look_up(packages: Iterable[tuple[str, str]], at: str | None = None) -> Looked:
    """The known vulnerabilities of packages.

    Args:
        packages: name and version of each.
        at: a folder, a zip or a URL; None: `place()`.

    Raises:
        DataError: the copy is missing, or holds no record of a PyPI package.
        PlatformError: the server does not answer, or answers nonsense.
    """
    wanted: dict[str, set[str]] = {}
    for name, version in packages:
        wanted.setdefault(normal(name), set()).add(version)
    where = at or place()
    if where.startswith(("https://", "http://")):
        return Looked(_merged(_asked(where.rstrip("/"), wanted), wanted), None, None)
    newest, count, records = "", 0, []
    for record in _records(Path(where)):
        names = {normal(str(one.get("package", {}).get("name", ""))) for one in _of_pypi(record)}
        if names:
            count, newest = count + 1, max(newest, str(record.get("modified", "")))
        if names & wanted.keys():
            records.append(record)
    if not count:
        raise DataError(f"{where} holds no record of a PyPI package", f"export {VARIABLE}= a copy of OSV's PyPI data")
    return Looked(_merged(records, wanted), _day(newest), count)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        if path.is_dir():
            for file in sorted(path.rglob("*.json")):
                yield json.loads(file.read_bytes())
            return
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                if name.endswith(".json"):
                    yield json.loads(packed.read(name))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no readable copy of OSV's data: {error}",
                        f"export {VARIABLE}= a folder or zip of OSV records, or unset it") from error  # fmt: skip


def _asked(url: str, wanted: Mapping[str, set[str]]) -> list[dict[str, Any]]:
    pairs = [(name, version) for name, versions in sorted(wanted.items()) for version in sorted(versions)]
    ids: set[str] = set()
    try:
        for start in range(0, len(pairs), _BATCH):
            ids |= _ids(url, pairs[start : start + _BATCH])
        return [_json(f"{url}/v1/vulns/{quote(name)}") for name in sorted(ids)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlatformError(f"{url} does not say which vulnerabilities are known: {error}",
                            f"allow the way there, or export {VARIABLE}= a local copy", True) from error  # fmt: skip


def _ids(url: str, pairs: list[tuple[str, str]]) -> set[str]:
    """Ids of the records of one batch, page by page."""
    asked: list[dict[str, Any]] = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in pairs
    ]
    ids: set[str] = set()
    while asked:
        told = _json(f"{url}/v1/querybatch", {"queries": asked})["results"]
        if len(told) != len(asked):
            raise ValueError(f"{len(told)} answers to {len(asked)} questions")
        ids |= {vuln["id"] for one in told for vuln in one.get("vulns", ())}
        asked = [
            {**query, "page_token": one["next_page_token"]}
            for query, one in zip(asked, told, strict=True)
            if one.get("next_page_token")
        ]
    return ids


def _json(url: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    data = json.dumps(body).encode() if body is not None else None
    request = Request(url, data, {"content-type": "application/json"})  # noqa: S310 - http or https, see look_up
    with urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
        told = json.loads(answer.read())
    if not isinstance(told, dict):
        raise ValueError(f"{url} answered no JSON object")
    return told


def _of_pypi(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    if record.get("withdrawn"):
        return []
    return [one for one in record.get("affected", ()) if one.get("package", {}).get("ecosystem") == "PyPI"]


def _merged(records: Iterable[Mapping[str, Any]], wanted: Mapping[str, set[str]]) -> tuple[Vulnerability, ...]:
    """One entry a package, version and vulnerability: databases describe the same one under several names."""
    found: dict[tuple[str, str, str], Vulnerability] = {}
    for record in records:
        names = sorted({str(record["id"]), *map(str, record.get("aliases", ()))}, key=_rank)
        for affected in _of_pypi(record):
            name = normal(str(affected["package"]["name"]))
            for version in wanted.get(name, ()):
                if not _is_in(version, affected):
                    continue
                one = Vulnerability(
                    name, version, names[0], _summary(record), _fixed(version, affected), _severe(record)
                )
                before = found.get((name, version, one.id))
                found[name, version, one.id] = _worse(before, one) if before else one
    return tuple(sorted(found.values(), key=lambda one: (one.name, one.version, one.id)))


def _worse(one: Vulnerability, other: Vulnerability) -> Vulnerability:
    fixed = one.fixed or other.fixed
    return Vulnerability(one.name, one.version, one.id, one.summary or other.summary, fixed, one.severe or other.severe)


def _rank(name: str) -> tuple[int, str]:
    kinds = ("CVE-", "GHSA-", "PYSEC-")
    return next((n for n, kind in enumerate(kinds) if name.startswith(kind)), len(kinds)), name


def _summary(record: Mapping[str, Any]) -> str:
    return str(record.get("summary") or str(record.get("details", "")).partition("\n")[0])[:160]


def _severe(record: Mapping[str, Any]) -> bool:
    return str(record.get("database_specific", {}).get("severity", "")).upper() not in ("LOW", "MODERATE", "MEDIUM")


def _is_in(version: str, affected: Mapping[str, Any]) -> bool:
    return version in affected.get("versions", ()) or any(_in_range(version, one) for one in _ranges(affected))


def _ranges(affected: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in affected.get("ranges", ()) if one.get("type") == "ECOSYSTEM"]


def _in_range(version: str, given: Mapping[str, Any]) -> bool:
    """OSV's evaluation: events in order of version; the last one at or below `version` decides."""
    ours, inside = _version(version), False
    for kind, at in sorted(((k, v) for event in given["events"] for k, v in event.items()), key=_event):
        if kind == "introduced" and ours >= _version(at):
            inside = True
        elif (kind == "fixed" and ours >= _version(at)) or (kind == "last_affected" and ours > _version(at)):
            inside = False
    return inside


def _event(event: tuple[str, str]) -> tuple[Any, int]:
    kind, at = event
    return _version(at), ("introduced", "last_affected", "fixed", "limit").index(kind)


def _version(text: str) -> Any:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")


def _fixed(version: str, affected: Mapping[str, Any]) -> str | None:
    ours = _version(version)
    given = [event["fixed"] for one in _ranges(affected) for event in one["events"] if "fixed" in event]
    return min((v for v in given if _version(v) > ours), key=_version, default=None)


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.datetime.fromisoformat(text).date()
    except ValueError:
        return None
