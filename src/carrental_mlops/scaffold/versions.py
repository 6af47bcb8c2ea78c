"""What a version of this package holds, as files to read: templates, sources, changelog. Nothing of it is imported."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from carrental_mlops import __version__
from carrental_mlops.errors import ConfigError, PlatformError, TemplateError, nearest
from carrental_mlops.files import file_digest
from carrental_mlops.scaffold.compose import compose, files_of, flavours

PACKAGE = "carrental_mlops"
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!]*")
_DIGEST = ".crm-sha256"
_KINDS = ("steps", "helm", "terraform", "requirements")


@dataclass(frozen=True)
class Material:
    """One version, unpacked as its wheel is. A test makes one of any folder with that layout."""

    version: str
    root: Path
    """Holds `carrental_mlops/`; a whole site-packages where the version is the installed one."""

    @property
    def package(self) -> Path:
        """The sources, to be read and not imported."""
        return self.root / PACKAGE

    @property
    def assets(self) -> Path:
        """`templates` (whole), `steps`, `requirements`, `helm`, `terraform`, `CHANGELOG.md`."""
        return self.package / "_assets"

    @property
    def changelog(self) -> str:
        """Keep-a-Changelog text of this version and those before it; empty where the wheel carries none."""
        path = self.assets / "CHANGELOG.md"
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def templates(self) -> list[str]:
        """Names of its templates, sorted."""
        return flavours(self.assets / "templates")

    def template(self, name: str) -> Path:
        """The whole cookiecutter template of that name.

        Raises:
            TemplateError: this version has none; says which is closest.
        """
        known = self.templates()
        if name not in known:
            raise TemplateError(f"no template `{name}` in carrental-mlops {self.version}", nearest(name, known))
        return self.assets / "templates" / name


def material(version: str = __version__) -> Material:
    """A version of this package: the installation itself where it is that one, else a wheel.

    A wheel in the folder `CRM_WHEELS` goes first, then the cache (`$XDG_CACHE_HOME/carrental-mlops/versions`), then the
    index that uv is set to. What is in the cache is checked against its SHA-256 each time it is read.

    Args:
        version: such as `1.4.0`.

    Raises:
        ConfigError: no version of that name, or uv is missing.
        PlatformError: the index cannot be reached, or the cache cannot be written.
    """
    if not _VERSION.fullmatch(version):
        raise ConfigError(f"`{version}` is not a version", "write it as in the changelog, such as 1.4.0")
    if version == __version__:
        return _installed()
    wheels = os.environ.get("CRM_WHEELS")
    wheel = next(iter(sorted(Path(wheels).glob(f"{PACKAGE}-{version}-*.whl"))), None) if wheels else None
    if wheel is not None:
        name = f"{version}-{file_digest(wheel)[:16]}"
        return _cached(version, name, lambda folder: unpack_wheel(wheel, folder))
    return _cached(version, version, lambda folder: _from_index(version, folder))


def cache_folder() -> Path:
    """Where unpacked versions lie; need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "carrental-mlops" / "versions"


def _installed() -> Material:
    package = Path(__file__).resolve().parents[1]
    if (package / "_assets").is_dir():
        return Material(__version__, package.parent)
    checkout = package.parents[1]
    sources = {kind: checkout / kind for kind in ("templates", *_KINDS)} | {PACKAGE: package}
    digest = hashlib.sha256((checkout / "CHANGELOG.md").read_bytes())
    for name, folder in sources.items():
        digest.update(f"{name} {folder_digest(folder)}\n".encode())
    name = f"{__version__}+checkout.{digest.hexdigest()[:16]}"
    return _cached(__version__, name, lambda folder: _assemble(checkout, package, folder))


def _assemble(checkout: Path, package: Path, into: Path) -> None:
    """What the wheel of this checkout would hold."""
    assets = into / PACKAGE / "_assets"
    for source, target in ((package, into / PACKAGE), *((checkout / kind, assets / kind) for kind in _KINDS)):
        for path in files_of(source):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / path, target / path)
    for name in flavours(checkout / "templates"):
        made = assets / "templates" / name
        compose(checkout / "templates", name, checkout / "requirements", __version__, made)
    shutil.copy(checkout / "CHANGELOG.md", assets / "CHANGELOG.md")


def unpack_wheel(wheel: Path, into: Path) -> None:
    """A wheel's files below `into`, executable ones as such. Raises ConfigError where it is no wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                made = Path(archive.extract(entry, into))
                if entry.external_attr >> 16 & 0o100 and made.is_file():
                    made.chmod(0o755)
    except zipfile.BadZipFile as error:
        raise ConfigError(f"{wheel} is no wheel: {error}", f"put the wheel into {wheel.parent} again") from error


def _from_index(version: str, into: Path) -> None:
    from carrental_mlops.integrations.own_package import install_alone

    install_alone(version, into)


def _cached(version: str, name: str, fill: Callable[[Path], None]) -> Material:
    found = Material(version, cached_folder(name, fill))
    if not found.assets.is_dir():
        raise ConfigError(
            f"carrental-mlops {version} holds no templates", "name a version that `crm upgrade --to` can take"
        )
    return found


def cached_folder(name: str, fill: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, filled where it is not there or not as it was stored.

    Raises:
        PlatformError: the cache cannot be written.
    """
    place = cache_folder() / name
    try:
        if not _holds(place):
            _store(place, fill)
    except OSError as error:
        raise PlatformError(
            f"{place} cannot be written: {error.strerror or error}",
            "free some space there, or set XDG_CACHE_HOME to a folder of yours",
        ) from error
    return place


def _holds(place: Path) -> bool:
    """Whether the folder is as it was stored."""
    told = place / _DIGEST
    return told.is_file() and told.read_text(encoding="ascii").strip() == folder_digest(place)


def _store(place: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside `place` and put it there in one step; another process that was faster is as good."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=place.parent) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        fill(made)
        (made / _DIGEST).write_text(folder_digest(made) + "\n", encoding="ascii")
        if place.exists() and not _holds(place):
            place.rename(Path(scratch) / "spoilt")
        try:
            made.rename(place)
        except OSError:
            if not _holds(place):
                raise


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents; bytecode that Python leaves does not count."""
    whole = hashlib.sha256()
    for path in files_of(folder):
        if path.as_posix() == _DIGEST:
            continue
        whole.update(f"{path.as_posix()}\0{file_digest(folder / path)}\n".encode())
    return whole.hexdigest()
