"""Known holes in the Debian packages of an image: what Debian's security archive has mended and the image has not.

Source: deb-version(7) for the order of versions; https://wiki.debian.org/DebianRepository/Format for the index;
https://github.com/opencontainers/image-spec/blob/main/image-layout.md for the image.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from carrental_mlops.errors import ConfigError, DataError, PlatformError

ARCHIVE = "CRM_DEBIAN_SECURITY"
"""Environment variable with a mirror's URL, over https."""
_ARCHIVE = "https://deb.debian.org/debian-security"
_TIMEOUT_S = 60
_STATUS = ("var/lib/dpkg/status", "var/lib/dpkg/status.d/")
_RELEASE = ("usr/lib/os-release", "etc/os-release")


@dataclass(frozen=True)
class Package:
    """A package as it is installed."""

    name: str
    version: str
    architecture: str
    source: str


@dataclass(frozen=True)
class Hole:
    """A package that a security update has mended since."""

    package: str
    installed: str
    mended: str
    """The first version in the security archive that is newer; the newest it has."""
    see: str
    """Where Debian says which holes those are."""


@dataclass(frozen=True)
class Installed:
    """What dpkg put into an image."""

    codename: str
    """Of the Debian release, such as `bookworm`."""
    packages: tuple[Package, ...]


def installed_in(image: Path) -> Installed:
    """The packages of an image.

    Args:
        image: an OCI layout, as a folder or a tar file, or docker's tar file.

    Raises:
        DataError: it is no image, or holds no list of Debian packages: nothing can be said of it.
    """
    found: dict[str, bytes] = {}
    with _opened(image) as read:
        for layer in _layers(read):
            found |= {name: content for name, content in _of_interest(layer)}
    packages = [p for name in sorted(found) if name.startswith(_STATUS) for p in _packages(found[name].decode())]
    release = next((found[name] for name in _RELEASE if name in found), b"").decode()
    codename = re.search(r"^VERSION_CODENAME=\"?([a-z]+)\"?$", release, re.M)
    if not packages or codename is None:
        raise DataError(f"{image} holds no list of Debian packages", "scan it by a tool that knows its base")
    return Installed(codename[1], tuple(packages))


def holes_in(installed: Installed, archive: str | None = None) -> tuple[Hole, ...]:
    """Packages with a security update that the image lacks; nothing only where the whole index was read.

    Args:
        installed: of `installed_in`.
        archive: a mirror's URL; default: CRM_DEBIAN_SECURITY, else Debian's own.

    Raises:
        PlatformError: the index does not answer, is not the one that was announced, or is out of date.
    """
    url = archive or os.environ.get(ARCHIVE) or _ARCHIVE
    architectures = sorted({p.architecture for p in installed.packages} - {"all"})
    newest: dict[tuple[str, str], str] = {}
    for architecture in architectures:
        for package in _index(url, installed.codename, architecture):
            key = (package.name, architecture)
            newest[key] = max(newest.get(key, package.version), package.version, key=Version)
    found = []
    for one in installed.packages:
        mended = newest.get((one.name, architectures[0] if one.architecture == "all" else one.architecture))
        if mended is not None and Version(one.version) < Version(mended):
            see = f"https://security-tracker.debian.org/tracker/source-package/{one.source}"
            found.append(Hole(one.name, one.version, mended, see))
    return tuple(found)


class Version:
    """A Debian version, which can be compared."""

    def __init__(self, text: str) -> None:
        epoch, _, rest = text.partition(":") if ":" in text else ("0", "", text)
        upstream, dash, revision = rest.rpartition("-")
        upstream, revision = (upstream, revision) if dash else (rest, "0")
        self._key = (int(epoch), _order(upstream), _order(revision))

    def __lt__(self, other: Version) -> bool:
        return self._key < other._key

    def __gt__(self, other: Version) -> bool:
        return self._key > other._key


def _order(part: str) -> tuple[Any, ...]:
    """`~` before the end of a part, the end before letters, letters before all other signs; digits as numbers."""
    pieces = re.findall(r"([^0-9]*)([0-9]*)", part)[:-1] or [("", "")]
    ranked = []
    for signs, digits in pieces:
        ranks = tuple(-1 if sign == "~" else ord(sign) if sign.isalpha() else ord(sign) + 256 for sign in signs)
        ranked.append(((*ranks, 0), int(digits or 0)))
    return (*ranked, ((0,), 0))


def _index(archive: str, codename: str, architecture: str) -> Iterator[Package]:
    suite = f"{archive.rstrip('/')}/dists/{codename}-security"
    release = _fetched(f"{suite}/InRelease").decode("utf-8", "replace")
    until = re.search(r"^Valid-Until: (.+)$", release, re.M)
    if until is None or parsedate_to_datetime(until[1].replace("UTC", "+0000")) < datetime.now(UTC):
        raise PlatformError(f"{suite}/InRelease is out of date: {until[1] if until else 'no Valid-Until'}",
                            f"name a mirror that is kept: {ARCHIVE}=https://…")  # fmt: skip
    name = f"main/binary-{architecture}/Packages.xz"
    wanted = re.search(rf"^ ([0-9a-f]{{64}}) +[0-9]+ {re.escape(name)}$", release, re.M)
    if wanted is None:
        raise PlatformError(f"{suite}/InRelease announces no {name}", "is this Debian release still kept by Debian?")
    packed = _fetched(f"{suite}/{name}")
    if hashlib.sha256(packed).hexdigest() != wanted[1]:
        raise PlatformError(f"{suite}/{name} is not what InRelease announces", "again in a minute", retryable=True)
    return _packages(lzma.decompress(packed).decode())


def _fetched(url: str) -> bytes:
    import urllib.request

    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise ConfigError(f"{ARCHIVE}: {url} is no https URL", f"{ARCHIVE}=https://…")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - https, or this machine
            return bytes(answer.read())
    except OSError as error:
        raise PlatformError(
            f"the image was not scanned: {url} does not answer ({error})", f"name a mirror: {ARCHIVE}=https://…", True
        ) from error


def _packages(text: str) -> Iterator[Package]:
    """Those of a status file or an index; what is removed but for its configuration is left out."""
    for paragraph in text.split("\n\n"):
        told: dict[str, str] = dict(re.findall(r"^([A-Za-z-]+): (.+)$", paragraph, re.M))
        if "Package" in told and "Version" in told and told.get("Status", "x installed").endswith(" installed"):
            source = told.get("Source", told["Package"]).partition(" ")[0]
            yield Package(told["Package"], told["Version"], told.get("Architecture", "all"), source)


@contextmanager
def _opened(image: Path) -> Iterator[Any]:
    """A function that reads a file of the layout by name."""
    try:
        if image.is_dir():
            yield lambda name: (image / name).read_bytes()
            return
        with tarfile.open(image) as archive:
            yield lambda name: _member(archive, name)
    except (OSError, KeyError, ValueError, tarfile.TarError) as error:
        raise DataError(f"{image} is no image: {error}", "crm image build") from error


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    return member.read() if member else b""


def _layers(read: Any) -> Iterator[bytes]:
    """The layers, lowest first, as tar files."""

    def blob(digest: str) -> bytes:
        algorithm, _, value = digest.partition(":")
        return bytes(read(f"blobs/{algorithm}/{value}"))

    try:
        manifest: Mapping[str, Any] = json.loads(read("index.json"))
    except (KeyError, FileNotFoundError):  # docker's own form, which kaniko writes
        yield from (bytes(read(name)) for name in json.loads(read("manifest.json"))[0]["Layers"])
        return
    while "layers" not in manifest:
        manifest = json.loads(blob(manifest["manifests"][0]["digest"]))
    yield from (blob(layer["digest"]) for layer in manifest["layers"])


def _of_interest(layer: bytes) -> Iterator[tuple[str, bytes]]:
    """Lists of packages and the name of the release in one layer."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        for member in files:
            name = member.name.removeprefix("./").lstrip("/")
            if member.isfile() and (name in _RELEASE or name == _STATUS[0] or name.startswith(_STATUS[1])):
                content = files.extractfile(member)
                yield name, content.read() if content else b""
