"""A release as data: which image, model, chart and values run together, who made it, and on what evidence."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from carrental_mlops.config.frozen import Frozen

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class ModelRef(Frozen):
    """The model of a release, as the registry has it."""

    name: str
    version: str
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Evidence(Frozen):
    """What speaks for a release."""

    kind: Literal["gate", "load_test"]
    passed: bool
    at: datetime
    """When it was gathered, UTC."""
    model_digest: str
    """Of the model that it speaks of."""
    said: tuple[str, ...] = ()
    """Reasons of a no, or figures of a yes."""
    file: str | None = None
    """The report, relative to the repo, or a URI."""


class Waiver(Frozen):
    """Somebody answers for evidence that is missing or says no."""

    what: str
    """What is waived, such as `load_test`."""
    by: str
    """A person, not a team."""
    reason: str = Field(min_length=10)
    expires: datetime
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
    at: datetime
    """UTC."""
    commit: str | None = None
    """Of the model repo."""
    evidence: tuple[Evidence, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    before: str | None = None
    """Id of the release that it took over from."""
