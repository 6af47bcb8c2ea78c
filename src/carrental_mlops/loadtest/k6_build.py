"""k6 with extensions: a small Go program that imports k6 and them, built by Go's own tools."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.files import whole_file

K6_VERSION = "v1.4.2"
"""Built where an extension asks for no newer one."""
_MODULE = re.compile(r"[a-z0-9.-]+\.[a-z]+(?:/[A-Za-z0-9._~-]+)+")
_VERSION = re.compile(r"v\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")
_SAID = 800


@dataclass(frozen=True)
class Extension:
    """A Go module at one version."""

    module: str
    version: str


@dataclass(frozen=True)
class Sources:
    """What Go builds."""

    main_go: str
    go_mod: str


def extension_of(text: str) -> Extension:
    """`github.com/grafana/xk6-sql@v1.0.5`.

    Raises:
        ConfigError: it is no module path with a version.
    """
    module, _, version = text.partition("@")
    if not _MODULE.fullmatch(module) or not _VERSION.fullmatch(version):
        raise ConfigError(f"--with {text}: wants MODULE@vX.Y.Z", "such as --with github.com/grafana/xk6-sql@v1.0.5")
    return Extension(module, version)


def sources(extensions: Sequence[Extension], k6_version: str = K6_VERSION) -> Sources:
    """main.go and go.mod of a k6 with `extensions`.

    Raises:
        ConfigError: a module is named twice, or `k6_version` is none.
    """
    names = [extension.module for extension in extensions]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"--with names {', '.join(twice)} twice", "name each module once")
    if not _VERSION.fullmatch(k6_version):
        raise ConfigError(f"--k6 {k6_version}: no version", f"such as --k6 {K6_VERSION}")
    imports = "".join(f'\t_ "{name}"\n' for name in names)
    needs = "".join(f"\t{e.module} {e.version}\n" for e in (Extension("go.k6.io/k6", k6_version), *extensions))
    main = f'package main\n\nimport (\n\t"go.k6.io/k6/cmd"\n\n{imports})\n\nfunc main() {{\n\tcmd.Execute()\n}}\n'
    return Sources(main, f"module crm-k6\n\ngo 1.24\n\nrequire (\n{needs})\n")


def build(made: Sources, out: Path) -> str:
    """Build `made` into `out`; k6's own line on its version and extensions. Takes minutes.

    Raises:
        PlatformError: no Go, a module cannot be fetched, or it does not build.
    """
    go = shutil.which("go")
    if go is None:
        raise PlatformError("no `go` on PATH, which builds k6", "install Go 1.24 or newer: https://go.dev/dl")
    with tempfile.TemporaryDirectory(prefix="crm-k6-") as name:
        folder = Path(name)
        (folder / "main.go").write_text(made.main_go, encoding="utf-8")
        (folder / "go.mod").write_text(made.go_mod, encoding="utf-8")
        _go(folder, go, "mod", "tidy")
        _go(folder, go, "build", "-trimpath", "-ldflags=-s -w", "-o", "k6", ".")
        told = subprocess.run([str(folder / "k6"), "version"], capture_output=True, text=True, check=False)  # noqa: S603
        with whole_file(out) as draft:
            shutil.copyfile(folder / "k6", draft)
    out.chmod(0o755)
    return told.stdout.strip()


def _go(folder: Path, *command: str) -> None:
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = done.stderr.strip()[-_SAID:]
        raise PlatformError(
            f"go {command[1]} failed: {said}", "check the versions, and that GOPROXY answers", retryable=True
        )
