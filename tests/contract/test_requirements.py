"""The committed environments: hashed, free of addresses, and the service has the versions that trained."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "requirements"
ENVIRONMENTS = ("alibi", "deploy", "dev", "mlserver", "pipelines", "repo", "seldon", "serving")


PLATFORMS = {
    "linux x86-64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    "linux aarch64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"},
    "macOS arm64": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
}


def entries(environment: str) -> list[tuple[str, str, str]]:
    """Name, version and marker of each requirement, as exported."""
    text = (FOLDER / f"{environment}.txt").read_text()
    return re.findall(r"^([a-z0-9][^\s;=]*)==([^\s;\\]+)(?: ; ([^\\\n]+))?", text, flags=re.M | re.I)


def resolved(environment: str, platform: str, python: str) -> dict[str, list[str]]:
    """Name to versions that one machine would install."""
    machine = PLATFORMS[platform] | {"python_version": python, "python_full_version": f"{python}.9"}
    found: dict[str, list[str]] = {}
    for name, version, marker in entries(environment):
        if not marker or Marker(marker).evaluate(machine):
            found.setdefault(name, []).append(version)
    return found


def pins(environment: str) -> set[str]:
    """`name==version` with its marker, as exported."""
    text = (FOLDER / f"{environment}.txt").read_text()
    return {match.strip() for match in re.findall(r"^([a-z0-9][^\s;]*==[^\s;\\]+)", text, flags=re.M | re.I)}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_requirement_carries_a_hash_and_no_address(environment: str) -> None:
    text = (FOLDER / f"{environment}.txt").read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.M).strip())
    assert entries
    assert [e for e in entries if "--hash=sha256:" not in e] == []


def test_what_serves_has_the_versions_that_trained() -> None:
    trained, served = pins("pipelines"), pins("serving")
    shared = {pin.split("==")[0] for pin in trained} & {pin.split("==")[0] for pin in served}
    assert {"lightgbm", "numpy", "pydantic"} <= shared
    assert {pin for pin in served - trained if pin.split("==")[0] in shared} == set()


def test_no_old_pin_of_a_conflicting_peer_leaks_into_pipelines() -> None:
    versions = dict(pin.split("==") for pin in pins("pipelines"))
    assert versions["zenml"].startswith("0.98")
    assert versions["mlflow"].startswith("3.")
    assert int(versions["flask"].split(".")[0]) >= 3


@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_resolves_on_every_platform(environment: str, platform: str, python: str) -> None:
    found, reference = resolved(environment, platform, python), resolved(environment, "linux x86-64", python)
    assert len(found) > 20
    assert {name: versions for name, versions in found.items() if len(versions) > 1} == {}
    differs = {name for name in found if found[name] != reference.get(name, found[name])}
    assert differs == set(), "one version for all platforms"


def test_every_platform_that_we_promise_is_resolved_and_must_have_wheels() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    assert told["environments"] == told["required-environments"]
    for machine in PLATFORMS.values():
        assert sum(Marker(marker).evaluate(machine) for marker in told["environments"]) == 1
