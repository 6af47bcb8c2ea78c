"""What a report says, section by section, before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from carrental_mlops.kpi.charts import forecast_chart, stage_chart, week_chart
from carrental_mlops.kpi.delivery import Delivery, Share
from carrental_mlops.kpi.events import STAGES
from carrental_mlops.kpi.overview import SEGMENTS, Overview
from carrental_mlops.kpi.roadmap import counts

WORDS = {"idea": "idea", "created": "repo made", "trained": "first training", "gate_passed": "gate passed",
         "merged": "merged", "staging": "in staging", "production": "in production"}  # fmt: skip
"""Stage to what a reader calls it."""
NONE = "-"


@dataclass(frozen=True)
class Section:
    """One heading with what stands under it."""

    title: str
    said: tuple[str, ...] = ()
    """Sentences, one a line."""
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    chart: str = ""
    """SVG; HTML alone shows it."""


def sections(told: Overview) -> Iterator[Section]:
    """Every section that `told` has something for, in the order of a reader who wants to act."""
    yield Section("Alerts", told.alerts or ("None.",))
    yield from _lead(told)
    yield from _stages(told)
    yield from _delivery(told)
    yield from _target(told)
    yield from _features(told)
    yield from _versions(told)
    yield from _roadmap(told)
    yield from _money(told)


def _lead(told: Overview) -> Iterator[Section]:
    whole = told.whole
    said = [
        f"From an idea into production: {days(whole.lead_days)} (median, features under way counted), "
        f"{days(whole.lead_days_live)} over those in production alone.",
        f"The past is taken to be {told.past_days:g} days (an assumption), the goal is {told.goal_days:g}; "
        f"within the goal: {of(whole.within_goal)}.",
        f"Under way now: {told.parallel.features_now} features of {told.parallel.teams_now} teams in parallel; "
        f"over the last {told.window_days} days {told.parallel.features_mean:.1f} features "
        f"of {told.parallel.teams_mean:.1f} teams on average.",
    ]
    rows = tuple((f"{WORDS[stage]}", days(whole.stage_days.get(stage))) for stage in STAGES[1:])
    chart = stage_chart({WORDS[s]: d for s, d in whole.stage_days.items()}, told.past_days, told.goal_days)
    yield Section("Lead time", tuple(said), ("until", "median since the stage before"), rows, chart)


def _segments(told: Overview) -> list[tuple[str, Delivery]]:
    return [(f"{by} {name}", one) for by in SEGMENTS for name, one in told.segments[by].items()]


def _stages(told: Overview) -> Iterator[Section]:
    rows = tuple(
        (name, str(one.live), *(days(one.stage_days.get(stage)) for stage in STAGES[1:]), days(one.lead_days))
        for name, one in _segments(told)
    )
    head = ("", "in production", *(WORDS[stage] for stage in STAGES[1:]), "lead time")
    yield Section("Which stage took how long", ("Medians since the stage before, features in production.",), head, rows)


def _delivery(told: Overview) -> Iterator[Section]:
    head = ("", "services", "in production", "lead time", "deployments a week", "change failures", "time to restore",
            "failing now")  # fmt: skip
    rows = [("all", told.whole), *_segments(told), *told.by_service.items()]
    said = f"Deployments and failures of the last {told.window_days} days; intervals are 90 %."
    yield Section("Delivery", (said,), head, tuple(_figures(name, one) for name, one in rows), week_chart(told.weeks))


def _figures(name: str, one: Delivery) -> tuple[str, ...]:
    return (
        name, str(one.services), str(one.live), days(one.lead_days), f"{one.deployments_a_week:.2f}",
        of(one.change_failure), NONE if one.restore_h is None else f"{one.restore_h:.1f} h", str(one.failing_now),
    )  # fmt: skip


def _target(told: Overview) -> Iterator[Section]:
    found = told.forecast
    if found is None:
        return
    said = (
        f"{found.so_far} of {found.target} features since {found.start}; evenly it would be {found.wanted_by_now:.1f}.",
        f"By {found.end}: {found.expected:.1f} expected, 90 % between {found.low} and {found.high}; "
        f"the target is reached with a chance of {100 * found.chance:.0f} %.",
        "If features go on to come at one rate, independently (docs/reference/kpi.md).",
    )
    yield Section("Target of the year", said, chart=forecast_chart(found, told.at.date()))


def _features(told: Overview) -> Iterator[Section]:
    head = ("service", "feature", "team", "stands at", "days", *(WORDS[stage] for stage in STAGES[1:]))
    rows = []
    for one in sorted(told.features, key=lambda row: (row.live, -row.age_days)):
        last = max(one.reached, key=STAGES.index)
        spent = (f"{one.stage_days[stage]:.1f}" if stage in one.stage_days else NONE for stage in STAGES[1:])
        rows.append((one.service, one.feature, one.team, WORDS[last], f"{one.age_days:.1f}", *spent))
    yield Section(
        "Features", ("Days since the stage before; a stage without a figure was not seen.",), head, tuple(rows)
    )


def _versions(told: Overview) -> Iterator[Section]:
    found = told.upgrades
    taken = f" A version is taken after {days(found.taken_days)} (median)." if found.taken_days is not None else ""
    said = f"Within one minor version of {found.latest}: {of(found.within_one)}.{taken}"
    rows = tuple(
        (one.service, one.version, "other major" if one.minors is None else str(one.minors), days(one.lag_days))
        for one in found.repos
    )
    yield Section("Versions", (said,), ("service", "version", "minors behind", "lag"), rows)


def _roadmap(told: Overview) -> Iterator[Section]:
    if not told.milestones:
        return
    said = ", ".join(f"{count} {status}" for status, count in counts(told.milestones).items() if count)
    head = ("track", "initiative", "owner", "milestone", "due", "status", "")
    rows = tuple(
        (one.track, one.initiative, one.owner, one.milestone, str(one.due), one.status,
         str(one.done) if one.done else one.said)
        for one in told.milestones
    )  # fmt: skip
    yield Section("Roadmap", (f"{said}.",), head, rows)


def _money(told: Overview) -> Iterator[Section]:
    found = told.money
    if found is None:
        return
    unit = found.currency
    head = ("service", "months", f"cost {unit}", f"value {unit}", f"build {unit}", f"{unit} per 1,000 predictions",
            "return", "payback", "assumed")  # fmt: skip
    rows = tuple(
        (one.service, str(one.months), amount(one.cost), amount(one.value), amount(one.build),
         NONE if one.cost_per_1000 is None else f"{one.cost_per_1000:.4g}",
         NONE if one.return_on_cost is None else f"{100 * one.return_on_cost:+.0f} %",
         NONE if one.payback_months is None else f"{one.payback_months:.1f} months",
         f"{len(one.assumed)} figures" if one.assumed else "nothing")
        for one in found.services
    )  # fmt: skip
    said = [f"assumed: {one.service}, {figure}" for one in found.services for figure in one.assumed]
    said += [f"no repo of {name} was read" for name in found.unknown]
    yield Section("Value and cost", tuple(said), head, rows)
    teams = tuple(
        (one.team, one.month, amount(one.cost), amount(one.quota), f"{100 * one.share:.0f} %",
         ", ".join(one.missing) or NONE, "yes" if one.assumed else "no")
        for one in found.teams
    )  # fmt: skip
    if teams:
        of_teams = ("team", "month", f"cost {unit}", f"quota {unit}", "used", "no cost known of", "assumed")
        yield Section("Quotas", (), of_teams, teams)


def days(value: float | None) -> str:
    """`12.5 days`."""
    return NONE if value is None else f"{value:.1f} days"


def of(found: Share) -> str:
    """`2 of 9 (22 %, 8 to 49 %)`."""
    if found.share is None or found.low is None or found.high is None:
        return f"{found.count} of {found.of}"
    return f"{found.count} of {found.of} ({100 * found.share:.0f} %, {100 * found.low:.0f} to {100 * found.high:.0f} %)"


def amount(value: float | None) -> str:
    """`12,500`."""
    return NONE if value is None else f"{value:,.0f}"
