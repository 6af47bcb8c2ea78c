"""Fakes of every integration: in memory, quick, and held to the real ones by contract tests that run against both."""

from carrental_mlops.testing.fakes.serving import FakeDoor, FakeReader, FakeSink, FakeStore, FakeTrail, view_of

__all__ = ["FakeDoor", "FakeReader", "FakeSink", "FakeStore", "FakeTrail", "view_of"]
