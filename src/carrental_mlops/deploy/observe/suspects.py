"""Who may be the cause: each probe weighs one kind of evidence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from carrental_mlops.deploy.manifests import labels
from carrental_mlops.deploy.observe.prometheus import Prometheus, Sample
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands

WINDOW_S = 300
"""Length of what is measured before and after (seconds)."""
_TRACK = labels.PROMETHEUS_TRACK


@dataclass(frozen=True)
class Happening:
    """Something that somebody, a rollout or the cluster did."""

    at: datetime
    """UTC."""
    what: str
    by: str = ""
    release: str | None = None


@dataclass(frozen=True)
class Figure:
    """One measure, when it was well and now; None where Prometheus has no value."""

    name: str
    unit: str
    before: float | None
    now: float | None

    def said(self) -> str:
        """Such as `errors 0.1 % -> 4.2 %`."""
        return f"{self.name} {_shown(self.before, self.unit)} -> {_shown(self.now, self.unit)}"


@dataclass(frozen=True)
class Suspect:
    """What may be the cause."""

    weight: float
    """Evidence: how far beyond what is usual; the suspects are in its order."""
    what: str
    evidence: str
    command: str
    """What to type next."""


@dataclass(frozen=True)
class ThenAndNow:
    """Prometheus about one service, then and now.

    Args:
        prometheus: is asked.
        queries: of the service.
        then: when it was well (seconds since 1970-01-01 UTC).
        now: the end (seconds since 1970-01-01 UTC).
        window_s: what a rate is taken over (seconds).
    """

    prometheus: Prometheus
    queries: Queries
    then: float
    now: float
    window_s: int = WINDOW_S

    @property
    def window(self) -> str:
        """In PromQL."""
        return f"{self.window_s}s"

    def pair(self, expr: str) -> tuple[float | None, float | None]:
        """The one value of `expr`, then and now; the highest where there are several."""
        then, now = (self._highest(self.prometheus.vector(expr, at)) for at in (self.then, self.now))
        return then, now

    def samples(self, expr: str) -> list[Sample]:
        """The series of `expr` now."""
        return [one for one in self.prometheus.vector(expr, self.now) if not math.isnan(one.value)]

    def figure(self, name: str, unit: str, expr: str) -> Figure:
        """One measure."""
        return Figure(name, unit, *self.pair(expr))

    def _highest(self, samples: list[Sample]) -> float | None:
        values = [one.value for one in samples if not math.isnan(one.value)]
        return max(values) if values else None


@dataclass(frozen=True)
class _Rule:
    """A figure that is suspect by itself."""

    name: str
    high: float
    """Where suspicion begins."""
    rise: float
    """And only if it is so many times what it was."""
    what: str
    command: Callable[[Commands], str]
    falls: bool = False
    """Whether low is bad."""


_RULES = (
    _Rule("fullest queue", 0.7, 1.2, "saturation: the queue fills, replicas are too few or too slow", Commands.pods),
    _Rule("late or failed feature reads", 0.01, 2, "the online store is slow or away", Commands.logs),
    _Rule("stale features", 0.05, 1.5, "stored features are stale: their pipeline has not run", Commands.features),
    _Rule("drift of scores since then", 0.2, 0, "scores have drifted: inputs or features changed", Commands.audit),
    _Rule("refused requests", 0.02, 2, "callers send what the contract refuses: one of them changed", Commands.logs),
    _Rule("audit events lost", 0.01, 2, "the audit loses events", Commands.prune),
    _Rule("free disk of the audit", 0.1, 0, "the audit's disk is full", Commands.prune, falls=True),
)


def _by_figure(
    asked: ThenAndNow, figures: tuple[Figure, ...], commands: Commands, changes: list[Happening]
) -> list[Suspect]:
    values, found = {one.name: one for one in figures}, []
    for rule in _RULES:
        figure = values.get(rule.name)
        if figure is None or figure.now is None:
            continue
        beyond = rule.high / max(figure.now, 1e-9) if rule.falls else figure.now / rule.high
        if beyond >= 1 and (rule.falls or figure.now >= rule.rise * (figure.before or 0)):
            found.append(Suspect(min(50.0, 3 * beyond), rule.what, figure.said(), rule.command(commands)))
    traffic = values.get("traffic")
    if traffic and traffic.before and traffic.now is not None:
        if traffic.now < 0.1 * traffic.before:
            what = "hardly anybody asks: the route, the gateway or a caller is away"
            found.append(Suspect(40, what, traffic.said(), commands.pods()))
        elif traffic.now > 2 * traffic.before:
            what = "more is asked than before"
            found.append(Suspect(2 * traffic.now / traffic.before, what, traffic.said(), commands.status()))
    return found


def _switched(
    asked: ThenAndNow, figures: tuple[Figure, ...], commands: Commands, changes: list[Happening]
) -> list[Suspect]:
    sel, found = asked.queries.sel(), []
    on = sorted({one.labels["to"] for one in asked.samples(f"crm_switched{sel} == 1")})
    if on:
        what = f"not the model answers but {' and '.join(on)}: a switch is on"
        found.append(Suspect(60, what, "crm_switched is 1", f"crm switch {commands.service} --env {commands.env}"))
    if asked.samples(f"crm_switch_broken{sel} == 1"):
        what = "the switch file is broken, so it is ignored"
        found.append(Suspect(30, what, "crm_switch_broken is 1", commands.logs()))
    return found


def _gone(
    asked: ThenAndNow, figures: tuple[Figure, ...], commands: Commands, changes: list[Happening]
) -> list[Suspect]:
    then, now = asked.pair(f"count(crm_model_info{asked.queries.sel()})")
    if then and (now or 0) < then:
        evidence = f"pods that answer Prometheus {then:.0f} -> {now or 0:.0f}"
        return [Suspect(30 * then / ((now or 0) + 0.5), "pods are gone or do not answer", evidence, commands.pods())]
    return []


def _one_track(
    asked: ThenAndNow, figures: tuple[Figure, ...], commands: Commands, changes: list[Happening]
) -> list[Suspect]:
    """A version or track that is worse than the others at the same time: the strongest evidence there is."""
    found = []
    for by in (_TRACK, "version"):
        measures = (
            ("errors", "%", asked.queries.errors(asked.window, by), 0.005),
            ("p99", "ms", f"1000 * {asked.queries.quantile(0.99, asked.window, by)}", 5.0),
        )
        for name, unit, expr, least in measures:
            values = {one.labels.get(by, ""): one.value for one in asked.samples(expr)}
            worst = max(values, key=lambda key: values[key], default="")
            others = [value for key, value in values.items() if key != worst]
            if not others or not worst:
                continue
            rest = max(others)
            if values[worst] - rest > least and values[worst] > 1.25 * rest:
                what = f"{'version ' if by == 'version' else ''}{worst}: its {name} is worse than the others' right now"
                evidence = f"{_shown(values[worst], unit)} against {_shown(rest, unit)}"
                weight = 50 + min(50.0, values[worst] / max(rest, least))
                canary = by == _TRACK and worst == labels.CANARY
                command = f"crm promote --to {commands.env} --abort" if canary else commands.rollback()
                found.append(Suspect(weight, what, evidence, command))
        if found:
            break
    return found


def _after_a_change(
    asked: ThenAndNow, figures: tuple[Figure, ...], commands: Commands, changes: list[Happening]
) -> list[Suspect]:
    """Changes after which errors or p99 rose."""
    found = []
    for change in changes:
        at = change.at.timestamp()
        after = min(asked.now, at + asked.window_s + 30)
        for name, unit, expr, least in (
            ("errors", "%", asked.queries.errors(asked.window), 0.005),
            ("p99", "ms", f"1000 * {asked.queries.quantile(0.99, asked.window)}", 5.0),
        ):
            before, then = (
                one for one in ThenAndNow(asked.prometheus, asked.queries, at, after, asked.window_s).pair(expr)
            )
            if before is not None and then is not None and then - before > least and then > 1.25 * before:
                evidence = f"{name} {_shown(before, unit)} -> {_shown(then, unit)} from {change.at:%H:%M:%S} UTC on"
                weight = 20 + min(30.0, then / max(before, least))
                command = (
                    commands.rollback() if change.release else f"crm switch {commands.service} --env {commands.env}"
                )
                found.append(Suspect(weight, change.what, evidence, command))
                break
    return found


def _causes(
    asked: ThenAndNow, figures: tuple[Figure, ...], commands: Commands, changes: list[Happening]
) -> list[Suspect]:
    """The service's own word for why it failed."""
    found = asked.samples(asked.queries.failures("cause"))[:3]
    whole = sum(one.value for one in found)
    return [
        Suspect(
            25 * one.value / whole,
            f"answers fail: {one.labels['cause']}",
            f"{one.value:.0f} in 15 min",
            commands.logs(),
        )
        for one in found
        if one.value >= 1
    ]


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "?"
    if unit == "%":
        return f"{value:.2%}".replace("%", " %")
    return f"{value:.3g}{'' if unit.startswith('/') else ' '}{unit}".rstrip()


PROBES = (_switched, _gone, _one_track, _after_a_change, _by_figure, _causes)
"""Each takes what is asked, the figures, the commands and the changes, and gives suspects."""
