"""What a CI pipeline is made of, whichever platform runs it; what does not hold together is refused when it is made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from pydantic import Field, model_validator

from carrental_mlops.config.frozen import Frozen

Event = Literal["merge_request", "main", "nightly", "tag", "rollback"]
"""What starts a pipeline; `rollback` is started by a person."""
Role = Literal["reader", "trainer", "deployer", "approver"]
"""An IAM role that the job takes with the platform's OIDC token; CI variable `CRM_ROLE_<ROLE>` holds its ARN."""

KEPT = ".crm/ci"
"""Each job's files for later jobs lie in `<KEPT>/<job>/`; git ignores it."""


_TAKEN = {"after_script", "before_script", "cache", "default", "image", "include", "pages", "services", "spec"}
_TAKEN |= {"stages", "types", "variables", "workflow"}
"""Words that GitLab reads as something else than a job."""


class Job(Frozen):
    """One job: what it needs, what it may, what it leaves."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    stage: str
    about: str
    """One line, a comment in the rendered file."""
    script: tuple[str, ...] = Field(min_length=1)
    """Lines of bash."""
    on: tuple[Event, ...] = Field(min_length=1)
    wants: tuple[str, ...] = ()
    """CI variables without which there is no such job: a repo with no cluster has a green pipeline of checks."""
    needs: tuple[str, ...] = ()
    """Jobs that must have ended well; one that this event does not start counts as done."""
    keeps: bool = False
    """Whether later jobs and people get what it writes into `.crm/ci/<name>/`."""
    junit: str | None = None
    """A JUnit report in that folder."""
    quality: str | None = None
    """A report of GitLab's code quality in that folder."""
    sarif: str | None = None
    """A SARIF report in that folder, which GitHub's code scanning is given where a repo has that."""
    takes: tuple[str, ...] = ()
    """Jobs whose files it gets; it needs them too."""
    role: Role | None = None
    signs: bool = False
    """Whether it gets an OIDC token for the signature."""
    comments: bool = False
    """Whether it may write a comment on the merge request."""
    proposes: bool = False
    """Whether it may push a branch and open a merge request."""
    environment: str | None = None
    """The platform's environment; its protection asks a person, and the OIDC subject holds its name."""
    approval: bool = False
    """A person starts it."""
    always: bool = False
    """Runs also when a job that it needs failed, for it tells what they found."""
    minutes: int = Field(default=30, ge=1, le=720)
    """After so long it is stopped."""
    packages: tuple[str, ...] = ()
    """Debian packages beside git, make and libgomp1."""
    history: bool = False
    """Whether it sees all commits and tags, not the newest alone."""
    setup: bool = True
    """Whether `make setup` runs before it."""
    pythons: tuple[str, ...] = ()
    """Runs once with each; PYTHON_VERSION names it."""
    env: Mapping[str, str] = {}

    @property
    def names_person(self) -> bool:
        """Whether it gets the token that says for whom it runs: it trains, approves or releases."""
        return self.environment is not None or self.role == "trainer"

    @model_validator(mode="after")
    def _holds_together(self) -> Job:
        if self.name in _TAKEN:
            raise ValueError(f"`{self.name}` is a word of GitLab's own, no name of a job")
        strangers = sorted(set(self.takes) - set(self.needs))
        if strangers:
            raise ValueError(f"job `{self.name}` takes files of {strangers}, which it does not need")
        for report in filter(None, (self.junit, self.quality, self.sarif)):
            if not self.keeps:
                raise ValueError(f"job `{self.name}` does not keep its report {report}")
        named = set(re.findall(rf"{re.escape(KEPT)}/([a-z0-9-]+)", "\n".join(self.script)))
        absent = sorted(named - set(self.takes) - ({self.name} if self.keeps else set()))
        if absent:
            raise ValueError(f"job `{self.name}` reads or writes files of {absent}, which it does not take or keep")
        if self.approval and self.environment is None:
            raise ValueError(f"job `{self.name}` waits for a person, so it names an environment that says who")
        return self


class Pipeline(Frozen):
    """Jobs in stages, and when each event comes."""

    name: str
    stages: tuple[str, ...]
    jobs: tuple[Job, ...]
    variables: tuple[str, ...] = ()
    """CI variables that jobs read; GitHub hands them over only where they are named."""
    nightly: str = "17 2 * * *"
    """Cron, UTC; GitHub reads it here, GitLab in its own settings."""

    @model_validator(mode="after")
    def _holds_together(self) -> Pipeline:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def job(self, name: str) -> Job:
        """The job of that name."""
        return next(job for job in self.jobs if job.name == name)

    def events(self) -> tuple[Event, ...]:
        """Every event that starts a job, in the order they are first named."""
        return tuple(dict.fromkeys(event for job in self.jobs for event in job.on))

    def _problems(self) -> Iterator[str]:
        """What both platforms' schemas let pass, or one of them refuses only when it runs."""
        places: dict[str, int] = {}
        for job in self.jobs:
            if job.name in places:
                yield f"two jobs are called `{job.name}`"
            if job.stage not in self.stages:
                yield f"job `{job.name}` is in the unknown stage `{job.stage}`"
                continue
            places[job.name] = self.stages.index(job.stage)
        for job in self.jobs:
            for needed in job.needs:
                if needed not in places:
                    yield f"job `{job.name}` needs the unknown job `{needed}`"
                elif places[needed] > places.get(job.name, 0):
                    yield f"job `{job.name}` needs `{needed}` of a later stage"
                elif not set(self.job(needed).on) & set(job.on):
                    yield f"job `{job.name}` needs `{needed}`, which no event of its own starts"
            yield from (
                f"job `{job.name}` takes files of `{name}`, which keeps none"
                for name in job.takes
                if name in places and not self.job(name).keeps
            )
        try:
            TopologicalSorter({job.name: job.needs for job in self.jobs}).prepare()
        except CycleError as error:
            yield f"a circle of needs: {' -> '.join(reversed(error.args[1]))}"
        for stage in self.stages:
            if all(job.stage != stage for job in self.jobs):
                yield f"stage `{stage}` has no job"
