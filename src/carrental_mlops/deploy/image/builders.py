"""The tools that make an image of a context, each as the command it is given and where it leaves the digest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from carrental_mlops.errors import ConfigError, PlatformError

CHOICE = "CRM_IMAGE_BUILDER"
_KANIKO = "/kaniko/executor"


@dataclass(frozen=True)
class Order:
    """One image to build."""

    context: Path
    container_file: str
    """Relative to `context`."""
    repository: str
    tag: str
    push: bool
    kept: Path
    """Folder that gets the image, as an OCI layout or archive, pushed or not: `crm image scan` reads it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    build_args: Mapping[str, str] = field(default_factory=dict)
    wheel: Path | None = None
    """Of this package, for the context; None for that which `crm` runs from, where no index has it."""

    @property
    def name(self) -> str:
        """`repository:tag`."""
        return f"{self.repository}:{self.tag}"

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this machine, where it speaks plain HTTP."""
        return self.repository.partition("/")[0].partition(":")[0] in ("localhost", "127.0.0.1")

    def options(self, label: str = "--label") -> list[str]:
        """Labels and build arguments, as all three tools take them."""
        args = (part for key, value in self.build_args.items() for part in ("--build-arg", f"{key}={value}"))
        return [*(part for key, value in self.labels.items() for part in (label, f"{key}={value}")), *args]


class Builder(Protocol):
    """A tool that is there."""

    name: str

    def commands(self, order: Order, scratch: Path) -> list[list[str]]:
        """What is run, in order; the last leaves the digest in `scratch`."""

    def digest(self, scratch: Path) -> str:
        """`sha256:…` of the image's manifest."""


class Buildah:
    """buildah: needs no daemon; `--timestamp 0` gives every file and the image one time."""

    name = "buildah"

    def commands(self, order: Order, scratch: Path) -> list[list[str]]:
        """Build, then copy into an OCI layout and to the registry."""
        made = ["buildah", "bud", "--format", "oci", "--timestamp", "0", "--no-cache", "--tag", order.name]
        made += ["--file", str(order.context / order.container_file), *order.options(), str(order.context)]
        copied = ["buildah", "push", "--digestfile", str(scratch / "digest")]
        kept = [*copied, order.name, f"oci:{order.kept / 'oci'}:{order.tag}"]
        plain = ["--tls-verify=false"] if order.loopback else []
        return [made, kept, *([[*copied, *plain, order.name, f"docker://{order.name}"]] if order.push else [])]

    def digest(self, scratch: Path) -> str:
        """As buildah's digest file has it."""
        return (scratch / "digest").read_text().strip()


class Docker:
    """docker buildx, whose daemon answers; BuildKit rewrites the times."""

    name = "docker"

    def commands(self, order: Order, scratch: Path) -> list[list[str]]:
        """One command that builds and exports."""
        exports = [f"type=oci,dest={order.kept / 'oci.tar'}"]
        exports += [f"type=image,name={order.name},push=true"] if order.push else []
        made = ["docker", "buildx", "build", "--provenance=false", "--sbom=false", "--no-cache"]
        made += ["--build-arg", "SOURCE_DATE_EPOCH=0", "--metadata-file", str(scratch / "told.json")]
        made += [word for export in exports for word in ("--output", f"{export},rewrite-timestamp=true")]
        made += ["--tag", order.name]
        return [[*made, "--file", str(order.context / order.container_file), *order.options(), str(order.context)]]

    def digest(self, scratch: Path) -> str:
        """As buildx's metadata file has it."""
        return str(json.loads((scratch / "told.json").read_text())["containerimage.digest"])


class Kaniko:
    """kaniko's executor, inside its own container."""

    name = "kaniko"

    def commands(self, order: Order, scratch: Path) -> list[list[str]]:
        """One command that builds, writes an archive and pushes."""
        where = ["--destination", order.name, "--tar-path", f"{order.kept}/image.tar"]
        where += [] if order.push else ["--no-push"]
        made = [_KANIKO, "--context", f"dir://{order.context}", "--dockerfile", order.container_file, "--reproducible"]
        plain = ["--insecure"] if order.loopback else []
        return [[*made, "--digest-file", str(scratch / "digest"), *plain, *where, *order.options()]]

    def digest(self, scratch: Path) -> str:
        """As kaniko's digest file has it."""
        return (scratch / "digest").read_text().strip()


_ALL: tuple[Builder, ...] = (Buildah(), Docker(), Kaniko())


def find_builder() -> Builder:
    """The one that CRM_IMAGE_BUILDER names, else the first that is there: buildah, docker, kaniko.

    Raises:
        ConfigError: CRM_IMAGE_BUILDER names none of them.
        PlatformError: none is there, or the one that is named.
    """
    named = os.environ.get(CHOICE)
    known = {builder.name: builder for builder in _ALL}
    if named and named not in known:
        raise ConfigError(f"{CHOICE}={named}", f"choose one of: {', '.join(known)}")
    chosen = [known[named]] if named else _ALL
    for builder in chosen:
        if _there(builder.name):
            return builder
    raise PlatformError(
        f"no builder of images: looked for {', '.join(builder.name for builder in chosen)}",
        "apt-get install buildah; or start docker; or run this in kaniko's image",
    )


def build(builder: Builder, order: Order) -> str:
    """The digest of the built image; what the tool says goes to stderr.

    Raises:
        PlatformError: the tool failed.
    """
    order.kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="crm-image-") as scratch:
        for command in builder.commands(order, Path(scratch)):
            done = subprocess.run(command, stdout=sys.stderr, check=False)  # noqa: S603 - our own words
            if done.returncode:
                raise PlatformError(
                    f"`{' '.join(command[:2])}` of {order.name} failed with exit code {done.returncode}",
                    "read what it says above, then again: crm image build",
                    retryable=True,
                )
        return builder.digest(Path(scratch))


def _there(name: str) -> bool:
    if name == "kaniko":
        return Path(_KANIKO).is_file()
    if name == "docker":
        docker = shutil.which("docker")
        asked = [docker or "docker", "version", "--format", "{{.Server.Version}}"]
        return docker is not None and subprocess.run(asked, capture_output=True, check=False).returncode == 0  # noqa: S603
    return shutil.which(name) is not None
