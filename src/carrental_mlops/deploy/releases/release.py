"""A release as data: which image, model, chart and values run together, who made it, and on what evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from carrental_mlops.config.frozen import Frozen

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
State = Literal["started", "applied", "available", "failed"]


def _in_utc(given: datetime) -> datetime:
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)


Instant = Annotated[datetime, AfterValidator(_in_utc)]
"""UTC; one without a time zone is taken for UTC."""


class ModelRef(Frozen):
    """The model of a release, as the registry has it."""

    name: str
    version: str
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Evidence(Frozen):
    """What speaks for a release."""

    kind: Literal["gate", "load_test"]
    passed: bool
    at: Instant
    """When it was gathered, UTC."""
    model_digest: str
    """Of the model that it speaks of."""
    said: tuple[str, ...] = ()
    """Reasons of a no, or figures of a yes."""
    file: str | None = None
    """The report, relative to the repo, or a URI."""


class Waiver(Frozen):
    """Somebody answers for evidence that is missing or says no."""

    what: Literal["gate", "load_test"]
    """What is waived."""
    by: str = Field(min_length=1)
    """A person, not a team."""
    reason: str = Field(min_length=10)
    expires: Instant
    """UTC."""


class Release(Frozen):
    """One release of one service in one environment; never changed once written."""

    id: str
    """`<env>-<number>`, such as `prod-7`."""
    service: str
    env: str
    image: str
    """Repository and digest: `registry/service@sha256:…`."""
    model: ModelRef
    chart: str
    """Version of the chart."""
    values_digest: Digest
    """Of the values that Helm was given, as canonical JSON."""
    package: str
    """Version of carrental-mlops."""
    by: str
    """Who: from the CI's OIDC token, else git's user."""
    at: Instant
    """UTC."""
    commit: str | None = None
    """Of the model repo."""
    evidence: tuple[Evidence, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    before: str | None = None
    """Id of the release that it took over from."""
    content_of: str | None = None
    """Id of the release that a rollback made it from: the cluster's labels bear that one."""


class Stored(Frozen):
    """A release with what it takes to make it again, and to say what a later one changes."""

    release: Release
    config: dict[str, Any]
    """The repo's configuration as it was, of that environment."""
    values: dict[str, Any]
    """What Helm was given."""
    manifests: tuple[dict[str, Any], ...]
    """What the chart made of it."""


class Event(Frozen):
    """What became of a release, one step."""

    release: str
    """Its id."""
    state: State
    """`started`: Helm was asked; `applied`: the cluster took all of it; `available`: its pods answer; `failed`: the
    cluster or Helm said no, or it was not available in time."""
    at: Instant
    by: str
    said: str = ""
