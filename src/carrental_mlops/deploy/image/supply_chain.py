"""What comes with an image: the list of what is in it, how it was made, and a signature."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.files import whole_file

SBOM, SBOM_OF_IMAGE, PROVENANCE = "sbom.cdx.json", "sbom.image.cdx.json", "provenance.json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://slsa.dev/provenance/v1"


def python_sbom(requirements: Path, into: Path) -> Path:
    """CycloneDX JSON of what `requirements` pins, with its hashes; the same bytes for the same file.

    Raises:
        ConfigError: cyclonedx-bom is not installed.
    """
    out = into / SBOM
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(requirements), "--output-file", str(out)]
    command += ["--output-reproducible", "--no-validate"]  # it would check its own output for many seconds
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        told = done.stderr.strip().splitlines()[-1:]
        raise ConfigError(f"no list of parts: cyclonedx_py says {told}", "pip install 'carrental-mlops[deploy]'")
    return out


def image_sbom(source: str, into: Path) -> Path | None:
    """CycloneDX JSON of everything in the image, Debian packages too; None where there is no syft.

    Args:
        source: as syft takes it, such as `oci-dir:PATH` or `registry:REPO@DIGEST`.
        into: a folder.

    Raises:
        PlatformError: syft failed.
    """
    syft = shutil.which("syft")
    if syft is None:
        return None
    out = into / SBOM_OF_IMAGE
    _run([syft, "scan", source, "--output", f"cyclonedx-json={out}"], "mend what syft names")
    return out


def write_provenance(name: str, digest: str, made: Mapping[str, Any], into: Path) -> Path:
    """An in-toto statement with SLSA's provenance as its predicate; nobody but the signature vouches for it.

    Args:
        name: of the image, without tag.
        digest: `sha256:…` of its manifest.
        made: the predicate.
        into: a folder.

    Source: https://slsa.dev/spec/v1.0/provenance, https://github.com/in-toto/attestation/tree/main/spec/v1.
    """
    subject = [{"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}]
    told = {"_type": _STATEMENT, "subject": subject, "predicateType": _PREDICATE, "predicate": made}
    with whole_file(into / PROVENANCE) as draft:
        draft.write_text(json.dumps(told, indent=2) + "\n")
    return into / PROVENANCE


def predicate(labels: Mapping[str, str], base: str, model: Mapping[str, str], builder: str) -> dict[str, Any]:
    """SLSA's fields of one build: what was asked for, what went in, who built.

    Args:
        labels: of the image; they hold service, commit and package.
        base: image that it stands on, with its digest.
        model: name, version and digest of what is baked in.
        builder: name of the tool.
    """
    env = os.environ
    run = env.get("CI_JOB_URL") or (
        f"{env['GITHUB_SERVER_URL']}/{env['GITHUB_REPOSITORY']}/actions/runs/{env['GITHUB_RUN_ID']}"
        if env.get("GITHUB_RUN_ID")
        else "by hand"
    )
    commit = labels.get("org.opencontainers.image.revision")
    parts = [
        {"name": "base", "uri": base.partition("@")[0], "digest": _sha256(base.partition("@")[2])},
        {"name": "model", "uri": f"models:/{model['name']}/{model['version']}", "digest": {"sha256": model["digest"]}},
        *([{"name": "repo", "digest": {"gitCommit": commit}}] if commit else []),
    ]
    return {
        "buildDefinition": {
            "buildType": "urn:carrental-mlops:crm-image-build:1",
            "externalParameters": dict(labels),
            "resolvedDependencies": parts,
        },
        "runDetails": {"builder": {"id": f"urn:carrental-mlops:builder:{builder}"}, "metadata": {"invocationId": run}},
    }


_KEYLESS = "COSIGN_KEY=FILE signs by a key of yours; without one cosign wants the OIDC token of a CI job"


def sign(reference: str, folder: Path, loopback: bool) -> bool:
    """Whether cosign signed `reference` and attested its provenance and parts; False where there is no cosign.

    With COSIGN_KEY by that key and in no public log, else without a key, by the OIDC identity of the CI's job.

    Args:
        reference: `REPO@DIGEST` in a registry.
        folder: holds provenance and SBOM.
        loopback: whether the registry speaks plain HTTP on this machine.

    Raises:
        PlatformError: cosign failed.
    """
    cosign = shutil.which("cosign")
    if cosign is None:
        return False
    key = os.environ.get("COSIGN_KEY")
    options = ["--yes", *(("--key", key, "--tlog-upload=false") if key else ())]
    options += ["--allow-http-registry", "--allow-insecure-registry"] if loopback else []
    mend = "mend what cosign names" if key else _KEYLESS
    _run([cosign, "sign", *options, reference], mend)
    told = json.loads((folder / PROVENANCE).read_text())["predicate"]
    alone = folder / "predicate.json"
    alone.write_text(json.dumps(told))
    for kind, path in (("slsaprovenance1", alone), ("cyclonedx", folder / SBOM)):
        _run([cosign, "attest", *options, "--type", kind, "--predicate", str(path), reference], mend)
    alone.unlink()
    return True


def _sha256(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")} if digest else {}


def _run(command: list[str], mend: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        name = Path(command[0]).name
        raise PlatformError(f"`{name} {command[1]}` failed:\n{done.stderr.strip()}", mend, True)
