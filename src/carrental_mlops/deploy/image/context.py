"""What an image is built from: the repo's code, its requirements, one model, this package where no index has it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from carrental_mlops.errors import ConfigError
from carrental_mlops.integrations.own_package import wheel_into
from carrental_mlops.serving.load import Bundle

CONTAINER_FILE = "Dockerfile.serving"
REQUIREMENTS = Path("requirements") / "serving.txt"
_CODE = ("config", "src")


def prepare(
    root: Path,
    bundle: Bundle,
    into: Path,
    further: Mapping[str, Bundle] = MappingProxyType({}),
    wheel: Path | None = None,
) -> Path:
    """`into`, holding what Dockerfile.serving copies; modes are the same on every machine.

    Args:
        root: of the model repo; of its code, what git ignores stays out.
        bundle: the model that is baked in.
        into: an empty folder.
        further: bundles of further nodes, by folder below that of `bundle`.
        wheel: of this package; None for that which `crm` runs from, where no index has it.

    Raises:
        ConfigError: the repo has no Dockerfile.serving or no requirements for the service.
    """
    for needed in (CONTAINER_FILE, str(REQUIREMENTS)):
        if not (root / needed).is_file():
            raise ConfigError(f"{root / needed} is not there", "take it from a fresh `crm new`; it is managed by crm")
    for name in (CONTAINER_FILE, str(REQUIREMENTS), *_code(root)):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, into / name)
    bundles_into(into / "bundle", bundle, further)
    wheels = into / "wheels"
    wheels.mkdir()
    if wheel is None:
        wheel_into(wheels)
    else:
        shutil.copyfile(wheel, wheels / wheel.name)
    (wheels / "README").write_text("Wheels that no index has.\n")
    for path in sorted(into.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return into


def bundles_into(folder: Path, bundle: Bundle, further: Mapping[str, Bundle]) -> None:
    """Copy the service's bundle to `folder`, which is not there yet, and `further` ones by folder below it."""
    shutil.copytree(bundle.folder, folder)
    for name, beside in further.items():
        shutil.copytree(beside.folder, folder / name)
        replace(beside, folder=folder / name).write()


def _code(root: Path) -> list[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", *_CODE]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    if listed.returncode:
        raise ConfigError(f"{root} is not under git: {listed.stderr.strip()}", "git init && git add . && git commit")
    return [name for name in sorted(set(listed.stdout.split("\0"))) if name and (root / name).is_file()]
