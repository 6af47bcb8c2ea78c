"""Value, cost and return of services, and what teams use of their quotas, all from `costs.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.kpi.files import read_yaml
from carrental_mlops.kpi.service import Service

Month = Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]


class Figure(Frozen):
    """A number, and where it comes from."""

    amount: float = Field(ge=0)
    source: str = Field(min_length=3)
    """An invoice, a query, a person."""
    assumption: bool = True
    """False only where it was measured or billed."""


class MonthOf(Frozen):
    """One month of one service; what is not known is left out."""

    cost: Figure | None = None
    """Of running it, in `currency`."""
    value: Figure | None = None
    """What it brought, in `currency`."""
    predictions: Figure | None = None
    """Answers that it gave."""


class Build(Frozen):
    """One service."""

    build: Figure | None = None
    """What making it cost, once, in `currency`."""
    months: dict[Month, MonthOf]


class Quota(Frozen):
    """One team."""

    cost_a_month: Figure
    """What its services may cost together, in `currency`; more than 0."""

    @field_validator("cost_a_month")
    @classmethod
    def _hold_something(cls, given: Figure) -> Figure:
        if given.amount <= 0:
            raise ValueError("a quota is more than 0")
        return given


class Costs(Frozen):
    """`costs.yaml`."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    services: dict[str, Build]
    teams: dict[str, Quota] = {}
    """Owner, as in crm.yaml, to what was granted."""


class Return(Frozen):
    """One service over the months that its figures have; None: a figure is missing."""

    service: str
    months: int
    cost: float | None
    value: float | None
    build: float | None
    predictions: float | None
    cost_per_1000: float | None
    """Cost of 1,000 predictions, over the months that have both."""
    return_on_cost: float | None
    """(value - cost - build) / (cost + build); 0.5: half again of what was put in came out on top."""
    payback_months: float | None
    """Build over the mean monthly surplus; None where there is no surplus."""
    assumed: tuple[str, ...]
    """Figures that are assumptions, with their source."""


class Use(Frozen):
    """One team in one month."""

    team: str
    month: str
    quota: float
    cost: float
    share: float
    """Cost over quota; above 1 the team is over it."""
    missing: tuple[str, ...]
    """Services of the team without a cost in that month: the true cost is higher."""
    assumed: bool


class Money(Frozen):
    """All of it."""

    currency: str
    services: tuple[Return, ...]
    teams: tuple[Use, ...]
    unknown: tuple[str, ...]
    """Services of `costs.yaml` that were not read."""


def read_costs(path: Path) -> Costs:
    """What `path` holds.

    Raises:
        ConfigError: it does not hold.
    """
    return read_yaml(path, Costs, "docs/reference/kpi.md shows one")


def money(costs: Costs, services: Sequence[Service], month: str) -> Money:
    """What `costs` says of `services` up to `month`.

    Args:
        costs: the file.
        services: whose teams are known.
        month: such as 2026-11; later ones are left out.
    """
    told = {one.name: one for one in services}
    returns = [_return(name, costs.services[name], month) for name in costs.services if name in told]
    uses = [use for team, quota in costs.teams.items() for use in _uses(team, quota, costs, services, month)]
    unknown = tuple(name for name in costs.services if name not in told)
    return Money(currency=costs.currency, services=tuple(returns), teams=tuple(uses), unknown=unknown)


def _return(name: str, given: Build, last: str) -> Return:
    months = {month: one for month, one in given.months.items() if month <= last}
    cost, value = _sum(m.cost for m in months.values()), _sum(m.value for m in months.values())
    both = [(m.cost.amount, m.predictions.amount) for m in months.values() if m.cost and m.predictions]
    answers = sum(count for _, count in both)
    surplus = [m.value.amount - m.cost.amount for m in months.values() if m.value and m.cost]
    build = given.build.amount if given.build else None
    put_in = (cost or 0) + (build or 0)
    whole = cost is not None and value is not None and len(surplus) == len(months)
    mean = sum(surplus) / len(surplus) if surplus else 0.0
    return Return(
        service=name,
        months=len(months),
        cost=cost,
        value=value,
        build=build,
        predictions=_sum(m.predictions for m in months.values()),
        cost_per_1000=1000 * sum(spent for spent, _ in both) / answers if answers else None,
        return_on_cost=(value - put_in) / put_in if whole and value is not None and put_in else None,
        payback_months=build / mean if build is not None and mean > 0 else None,
        assumed=tuple(_assumed(given, months)),
    )


def _assumed(given: Build, months: Mapping[str, MonthOf]) -> Iterable[str]:
    figures = [("build", given.build)]
    for month, one in sorted(months.items()):
        figures += [(f"{month} {kind}", getattr(one, kind)) for kind in ("cost", "value", "predictions")]
    return [f"{name}: {figure.source}" for name, figure in figures if figure and figure.assumption]


def _uses(team: str, quota: Quota, costs: Costs, services: Sequence[Service], last: str) -> Iterable[Use]:
    own = [one.name for one in services if one.team == team]
    given = {name: costs.services[name].months for name in own if name in costs.services}
    for month in sorted({month for months in given.values() for month in months if month <= last}):
        spent = {name: months[month].cost for name, months in given.items() if month in months}
        known = [cost for cost in spent.values() if cost]
        if not known:
            continue
        cost, granted = sum(one.amount for one in known), quota.cost_a_month.amount
        yield Use(
            team=team, month=month, quota=granted, cost=cost, share=cost / granted,
            missing=tuple(name for name in own if not spent.get(name)),
            assumed=quota.cost_a_month.assumption or any(one.assumption for one in known),
        )  # fmt: skip


def _sum(figures: Iterable[Figure | None]) -> float | None:
    known = [one.amount for one in figures if one]
    return sum(known) if known else None
