"""Is the canary worse than the champion? Errors, p99 and scores, from Prometheus, look after look.

A canary is stopped on a measure when its figure lies beyond what crm.yaml allows and the evidence that it is not like
the champion reaches 1/alpha (`sequential.py`): so a false stop of a canary that is like its champion has a probability
of at most `ALPHA` over a whole rollout, however often one looks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from carrental_mlops.config.deploy import RolloutPlan
from carrental_mlops.core.arrays import Floats
from carrental_mlops.deploy.observe.prometheus import Prometheus
from carrental_mlops.deploy.rollout import sequential
from carrental_mlops.deploy.rollout.counters import Counters, Counts
from carrental_mlops.deploy.rollout.sequential import CanaryEvidence

ALPHA = 0.05
"""Most probability that a whole rollout of a canary like its champion is stopped."""
_SHARES = {"errors": 0.6, "p99": 0.2, "drift": 0.2}
"""Of `ALPHA`, by measure."""
_LEAST_SLOW_S = 0.001
"""A p99 that is worse by less than this (seconds) stops no canary: that is the noise of caches."""
_GONE, _GONE_WITHIN_S = 3, 60.0
"""Looks without an answering canary within so many seconds that stop it."""
_START_S = 90.0
"""Time that a canary has to be seen by Prometheus (seconds)."""


@dataclass(frozen=True)
class Look:
    """What one look found, since the step began."""

    at: float
    """Seconds since 1970-01-01 UTC."""
    champion: int
    """Answers of the champion."""
    canary: int
    excess_errors: float
    """Share of the canary's answers that failed, less the champion's."""
    p99_ms: tuple[float, float]
    """Of champion and canary; NaN without answers."""
    drift: float
    """Population stability index between their scores, less what chance adds; 0 without scores."""
    evidence: Mapping[str, float]
    """Measure to the evidence against "like the champion", as a share of what stops; 1 and more stops."""
    stop: tuple[str, ...] = ()
    """Why the canary must go; empty where it may stay."""

    def said(self) -> str:
        """One line."""
        champion, canary = self.p99_ms
        return (
            f"{self.canary} answers of the canary, {self.champion} of the champion; errors {self.excess_errors:+.2%}, "
            f"p99 {champion:.3g} -> {canary:.3g} ms, drift {max(self.drift, 0):.2f}"
        )


@dataclass
class Watch:
    """Champion and canary during one step of a rollout.

    Args:
        counters: where their counts come from.
        plan: what is allowed.
        step: which step of the rollout this is, from 0: the first may spend half of `ALPHA`, the next a quarter, …
        since: when it began (seconds since 1970-01-01 UTC).
    """

    counters: Counters
    plan: RolloutPlan
    step: int
    since: float
    state: dict[str, Any] = field(default_factory=dict)
    """What another process needs to go on from here; JSON."""

    def __post_init__(self) -> None:
        self._edges: tuple[float, ...] = tuple(self.state.get("edges", ()))
        self._missed: list[float] = list(self.state.get("missed", []))
        self._seen = bool(self.state.get("seen"))
        self._evidence: dict[str, CanaryEvidence] = {}
        for name, kept in self.state.get("evidence", {}).items():
            evidence = self._new(name, len(kept["champion"]))
            evidence.champion, evidence.canary = np.asarray(kept["champion"]), np.asarray(kept["canary"])
            evidence.logs = None if kept["logs"] is None else np.asarray(kept["logs"])
            self._evidence[name] = evidence

    def look(self, prometheus: Prometheus) -> Look:
        """Ask once, and judge.

        Raises:
            PlatformError: Prometheus does not answer; nothing is judged.
        """
        champion, canary = self.counters.since_last(prometheus)
        now = time.time()
        self._add("errors", champion.errors, canary.errors)
        if champion.edges and (self._edges or canary.seen):
            if champion.edges != self._edges:
                self._edges = champion.edges
                self._evidence.pop("p99", None)
            self._add("p99", champion.seconds, canary.seconds)
        self._add("drift", champion.scores, canary.scores)
        gone = self._gone(now, canary)
        self._keep()
        return self._judged(now, gone)

    def _new(self, name: str, kinds: int) -> CanaryEvidence:
        if name == "errors":
            return CanaryEvidence(kinds, sequential.more_errors(self.plan.max_error_rate))
        if name == "p99":
            return CanaryEvidence(kinds, sequential.slower(np.asarray(self._edges), self.plan.max_p99_ratio))
        return CanaryEvidence(kinds, sequential.drifted(self.plan.max_drift))

    def _add(self, name: str, champion: Floats, canary: Floats) -> None:
        if name not in self._evidence:
            self._evidence[name] = self._new(name, len(champion))
        self._evidence[name].add(champion, canary)

    def _gone(self, now: float, canary: Counts) -> str:
        if canary.seen:
            self._seen = True
            return ""
        if not self._seen:
            late = now - self.since > _START_S
            return f"the canary was not seen by Prometheus within {_START_S:.0f} s" if late else ""
        self._missed = [at for at in self._missed if now - at < _GONE_WITHIN_S] + [now]
        return "the canary does not answer, it ended or cannot be reached" if len(self._missed) >= _GONE else ""

    def _judged(self, now: float, gone: str) -> Look:
        errors = self._evidence["errors"]
        excess = float(sequential.excess_of(errors.champion, errors.canary))
        p99 = self._p99()
        scores = self._evidence["drift"]
        drift = float(sequential.stability_of(scores.champion, scores.canary)) if scores.canary.any() else 0.0
        plan = self.plan
        worse = {
            "errors": excess > plan.max_error_rate,
            "p99": p99[1] > plan.max_p99_ratio * p99[0] and p99[1] - p99[0] > 1e3 * _LEAST_SLOW_S,
            "drift": drift > plan.max_drift,
        }
        shares = {name: float(one.log()) / evidence_needed(name, self.step) for name, one in self._evidence.items()}
        said = {
            "errors": f"{excess:.2%} more of its answers fail than of the champion's, {plan.max_error_rate:.2%} may",
            "p99": f"its p99 is {p99[1]:.3g} ms, the champion's {p99[0]:.3g} ms; x {plan.max_p99_ratio:g} is allowed",
            "drift": f"its scores drift by {drift:.2f} from the champion's, {plan.max_drift:g} is allowed",
        }
        stop = [text for name, text in said.items() if worse[name] and shares.get(name, 0) >= 1]
        champion, canary = int(errors.champion.sum()), int(errors.canary.sum())
        return Look(now, champion, canary, excess, p99, drift, shares, (*([gone] if gone else []), *stop))

    def _p99(self) -> tuple[float, float]:
        seconds = self._evidence.get("p99")
        if seconds is None:
            return math.nan, math.nan
        edges = np.asarray(self._edges)
        champion, canary = (1e3 * float(sequential.quantile(edges, c)) for c in (seconds.champion, seconds.canary))
        return champion, canary

    def _keep(self) -> None:
        self.state = {
            "edges": self._edges,
            "missed": self._missed,
            "seen": self._seen,
            "evidence": {
                name: {
                    "champion": one.champion.tolist(),
                    "canary": one.canary.tolist(),
                    "logs": None if one.logs is None else one.logs.tolist(),
                }
                for name, one in self._evidence.items()
            },
        }


def evidence_needed(measure: str, step: int) -> float:
    """Logarithm of the evidence that stops a canary in the `step` of a rollout, from 0.

    The first step may spend half of `ALPHA`, the next a quarter, …, so that all together spend no more than it.
    """
    return -math.log(ALPHA * _SHARES[measure] / 2 ** (step + 1))
