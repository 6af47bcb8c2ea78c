"""Everything that a report shows, at one instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.deploy.releases.release import Instant
from carrental_mlops.kpi.behind import Upgrades, upgrades
from carrental_mlops.kpi.costs import Costs, Money, money
from carrental_mlops.kpi.delivery import Delivery, delivery
from carrental_mlops.kpi.events import Stage
from carrental_mlops.kpi.features import Feature
from carrental_mlops.kpi.forecast import Forecast, forecast
from carrental_mlops.kpi.parallel import Parallel, parallel
from carrental_mlops.kpi.roadmap import MilestoneStanding, Roadmap, standings
from carrental_mlops.kpi.service import ReadServices, Service

Segment = Literal["template", "team", "tier"]
SEGMENTS: tuple[Segment, ...] = ("template", "team", "tier")
WEEKS = 12
"""Weeks that the charts go back."""


class FeatureRow(Frozen):
    """One feature, as it stands."""

    service: str
    feature: str
    template: str
    team: str
    tier: int
    reached: dict[Stage, Instant]
    stage_days: dict[Stage, float]
    age_days: float
    """Days from its beginning into production, or until now."""
    live: bool


class Week(Frozen):
    """Seven days."""

    ends: date
    """The day after its last."""
    deployments: int
    failed: int
    live: int
    """Features in production at its end."""
    lead_days: tuple[float, ...]
    """Of features that reached production in it."""


class Overview(Frozen):
    """The figures at `at`."""

    at: Instant
    window_days: int
    past_days: float
    goal_days: float
    whole: Delivery
    segments: dict[Segment, dict[str, Delivery]]
    by_service: dict[str, Delivery]
    features: tuple[FeatureRow, ...]
    weeks: tuple[Week, ...]
    parallel: Parallel
    upgrades: Upgrades
    forecast: Forecast | None = None
    """None where no roadmap says from when, and in its first 28 days."""
    milestones: tuple[MilestoneStanding, ...] = ()
    money: Money | None = None
    alerts: tuple[str, ...] = ()
    unread: dict[str, tuple[str, ...]] = {}
    """Repo to what could not be read of it."""


@dataclass(frozen=True)
class Question:
    """What is asked."""

    now: datetime
    """UTC; what came later is not seen."""
    latest: str
    """Version of the package that repos should have."""
    published: Mapping[str, datetime] = field(default_factory=dict)
    roadmap: Roadmap | None = None
    costs: Costs | None = None
    window_days: int = 90
    """For deployments and failures."""


def overview(asked: ReadServices, question: Question) -> Overview:
    """The figures of the repos in `asked`.

    Raises:
        ConfigError: the roadmap or `latest` does not hold.
    """
    now, plan = question.now, question.roadmap or Roadmap()
    services = [as_of(one, now) for one in asked.services if not one.versions or one.versions[0].at <= now]

    def figures(some: Sequence[Service]) -> Delivery:
        return delivery(some, now, question.window_days, plan.goal_days)

    milestones = standings(plan, services, now.date()) if question.roadmap else ()
    told = Overview(
        at=now,
        window_days=question.window_days,
        past_days=plan.past_days,
        goal_days=plan.goal_days,
        whole=figures(services),
        segments={by: {n: figures(some) for n, some in _split(services, by).items()} for by in SEGMENTS},
        by_service={one.name: figures([one]) for one in services},
        features=tuple(_row(one, feature, now) for one in services for feature in one.features),
        weeks=_weeks(services, now),
        parallel=parallel(services, now, question.window_days),
        upgrades=upgrades(services, question.latest, question.published, now),
        forecast=_forecast(plan, services, now.date()),
        milestones=milestones,
        money=money(question.costs, services, f"{now:%Y-%m}") if question.costs else None,
        unread={one.name: one.unread for one in services if one.unread}
        | {name: (said,) for name, said in asked.broken.items()},
    )
    return told.model_copy(update={"alerts": tuple(_alerts(told))})


def as_of(service: Service, now: datetime) -> Service:
    """`service` as its files showed it at `now`."""
    seen = (
        f.model_copy(update={"reached": {s: t for s, t in f.reached.items() if t <= now}}) for f in service.features
    )
    versions = tuple(one for one in service.versions if one.at <= now)
    return service.model_copy(
        update={
            "features": tuple(one for one in seen if one.reached),
            "deployments": tuple(
                one if one.failed_at is None or one.failed_at <= now
                else one.model_copy(update={"failed_at": None, "restored_at": None, "why": ""})
                for one in service.deployments
                if one.asked_at <= now
            ),
            "versions": versions,
            "version": versions[-1].version if versions else service.version,
        }
    )  # fmt: skip


def _split(services: Iterable[Service], by: Segment) -> dict[str, list[Service]]:
    found: dict[str, list[Service]] = {}
    for one in services:
        found.setdefault(str(getattr(one, by)), []).append(one)
    return dict(sorted(found.items()))


def _row(service: Service, feature: Feature, now: datetime) -> FeatureRow:
    return FeatureRow(
        service=service.name, feature=feature.name, template=service.template, team=service.team, tier=service.tier,
        reached=feature.reached, stage_days=feature.stage_days(), age_days=feature.age_days(now),
        live=feature.live is not None,
    )  # fmt: skip


def _weeks(services: Sequence[Service], now: datetime) -> tuple[Week, ...]:
    features = [one for service in services for one in service.features]
    made = [one for service in services for one in service.deployments if not one.back]
    found = []
    for back in range(WEEKS - 1, -1, -1):
        end = now - timedelta(days=7 * back)
        begin = end - timedelta(days=7)
        fresh = [one for one in made if begin < one.asked_at <= end]
        new = [one for one in features if one.live and begin < one.live <= end]
        found.append(
            Week(
                ends=end.date(),
                deployments=len(fresh),
                failed=sum(one.failed_at is not None for one in fresh),
                live=sum(one.live is not None and one.live <= end for one in features),
                lead_days=tuple(one.lead_days for one in new if one.lead_days is not None),
            )
        )
    return tuple(found)


def _forecast(plan: Roadmap, services: Sequence[Service], today: date) -> Forecast | None:
    if plan.start is None:
        return None
    end = plan.start + timedelta(days=plan.days)
    first, last = (datetime.combine(day, time(), UTC) for day in (plan.start, end))
    so_far = sum(f.live is not None and first <= f.live < last for one in services for f in one.features)
    return forecast(plan.features, plan.start, end, today, so_far)


def _alerts(told: Overview) -> Iterable[str]:
    for one in told.milestones:
        if one.status in ("late", "at risk"):
            yield f"milestone {one.status}: {one.milestone} ({one.owner}), {one.said}"
    for row in told.features:
        if not row.live and row.age_days > told.goal_days:
            yield f"{row.service}: {row.feature} is {row.age_days:.0f} days under way, the goal is {told.goal_days:g}"
    for name, figures in told.by_service.items():
        if figures.failing_now:
            yield f"{name}: a failure in production has not ended"
    for repo in told.upgrades.repos:
        if not repo.within_one:
            yield f"{repo.service}: on {repo.version}, more than one minor version behind {told.upgrades.latest}"
    if told.forecast and told.forecast.high < told.forecast.target:
        rate = f"at this rate it will be {told.forecast.high} at most"
        yield f"the target of {told.forecast.target} features is out of reach: {rate}"
    for use in {one.team: one for one in told.money.teams}.values() if told.money else ():
        if use.share > 1:
            yield f"{use.team}: {100 * use.share:.0f} % of its quota of {use.month} is used"
    for name, said in told.unread.items():
        yield f"{name}: not all could be read: {'; '.join(said)}"
