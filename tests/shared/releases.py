"""Small releases for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from carrental_mlops.deploy.releases.release import ModelRef, Release, Stored

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def release(name: str = "prod-1", version: str = "3", **changed: Any) -> Release:
    """A release of a fraud service."""
    given: dict[str, Any] = {
        "id": name,
        "service": "fraud-payments",
        "env": name.rpartition("-")[0],
        "image": "registry.example.com/fraud-payments@sha256:" + "a" * 64,
        "model": ModelRef(name="fraud-payments", version=version, digest=f"{int(version):064x}"),
        "chart": "0.1.0",
        "values_digest": "sha256:" + "b" * 64,
        "package": "0.1.0",
        "by": "jane@example.com",
        "at": NOON,
    }
    return Release(**{**given, **changed})


def stored(name: str = "prod-1", version: str = "3", **changed: Any) -> Stored:
    """The same with a little of everything around it."""
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fraud-payments"}}
    return Stored(release=release(name, version, **changed), config={}, values={"a": 1}, manifests=(manifest,))
