"""Fakes of every integration: in memory, quick, and held to the real ones by contract tests that run against both."""

from carrental_mlops.testing.fakes.delivery import FakeBuilder, FakeClock, FakePlace, FakeTraffic
from carrental_mlops.testing.fakes.models import FakeCalibrator, FakeClassifier
from carrental_mlops.testing.fakes.serving import (
    FakeCounter,
    FakeDoor,
    FakeDrops,
    FakeInstead,
    FakeReader,
    FakeSink,
    FakeStore,
    FakeSwitch,
    FakeTrail,
    FakeVault,
    view_of,
)
from carrental_mlops.testing.fakes.stores import FakeFiles, FakeRegistry, FakeTracker, fake_registry

__all__ = [
    "FakeBuilder",
    "FakeCalibrator",
    "FakeClassifier",
    "FakeClock",
    "FakeCounter",
    "FakeDoor",
    "FakeDrops",
    "FakeFiles",
    "FakeInstead",
    "FakePlace",
    "FakeReader",
    "FakeRegistry",
    "FakeSink",
    "FakeStore",
    "FakeSwitch",
    "FakeTracker",
    "FakeTraffic",
    "FakeTrail",
    "FakeVault",
    "fake_registry",
    "view_of",
]
