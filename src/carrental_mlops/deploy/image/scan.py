"""`crm image scan`: the image that was built last, against what Debian has mended since."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from carrental_mlops.deploy.image.build import FOLDER, RECORD
from carrental_mlops.deploy.image.debian import Hole, holes_in, installed_in
from carrental_mlops.errors import ConfigError

_FORMS = ("oci", "oci.tar", "image.tar")
"""As buildah, docker and kaniko leave an image beside its record."""


@dataclass(frozen=True)
class Scan:
    """What was found in one image."""

    image: str
    """`REPO@sha256:…`."""
    codename: str
    """Of the Debian release."""
    packages: int
    """How many were looked at."""
    holes: tuple[Hole, ...]


def scan(root: Path, tag: str | None = None) -> Scan:
    """The Debian packages of a built image that a security update has mended since.

    Args:
        root: of the model repo.
        tag: of an image in `.crm/images/`; default: the one that was built last.

    Raises:
        ConfigError: there is no such image.
        DataError: it holds no Debian packages.
        PlatformError: Debian's security archive does not answer, or is out of date: nothing was scanned.
    """
    records = sorted((root / FOLDER).glob(f"{tag or '*'}/{RECORD}"), key=lambda path: path.stat().st_mtime)
    if not records:
        raise ConfigError(f"no image {tag or ''} in {root / FOLDER}", "crm image build")
    folder = records[-1].parent
    kept = next((folder / form for form in _FORMS if (folder / form).exists()), None)
    if kept is None:
        raise ConfigError(f"the image itself is not in {folder}", "crm image build")
    installed = installed_in(kept)
    image = str(json.loads(records[-1].read_text())["image"])
    return Scan(image, installed.codename, len(installed.packages), holes_in(installed))
