"""The committed environments: hashed, free of addresses, and the service has the versions that trained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "requirements"
ENVIRONMENTS = ("alibi", "deploy", "dev", "mlserver", "pipelines", "seldon", "serving")


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
