"""The sequential tests of a canary, on thousands of simulated rollouts: how often they stop, and how soon."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pytest

from carrental_mlops.config.deploy import RolloutPlan
from carrental_mlops.core.arrays import Floats, Mask
from carrental_mlops.deploy.rollout import sequential
from carrental_mlops.deploy.rollout.analysis import ALPHA, evidence_needed
from carrental_mlops.deploy.rollout.sequential import CanaryEvidence

RPS, LOOK_S, PLAN = 50, 5, RolloutPlan()
EDGES = np.array([0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.5, 1.0])
SCORES = (0.3, 0.2, 0.15, 0.1, 0.08, 0.06, 0.04, 0.03, 0.02, 0.01, 0.005, 0.003, 0.002)


@dataclass(frozen=True)
class Fleet:
    """What one version does."""

    failed: float = 0.001
    latency: float = 1.0
    """Factor of every answer's time."""
    scores: tuple[float, ...] = SCORES

    def seconds(self) -> Floats:
        """Shares by bucket: log-normal around 20 ms, p99 51 ms."""
        upto = np.array([NormalDist(math.log(0.02 * self.latency), 0.4).cdf(math.log(edge)) for edge in EDGES])
        shares: Floats = np.diff(np.concatenate([[0.0], upto, [1.0]]))
        return shares


def stopped(
    canary: Fleet, weight: float, seconds: int, runs: int, champion: Fleet | None = None, look_s: int = LOOK_S
) -> dict[str, Floats]:
    """Measure to the (runs,) seconds after which it stopped the canary; infinite where it did not."""
    rng, champion = np.random.default_rng(7), champion or Fleet()
    watched = {
        "errors": CanaryEvidence(2, sequential.more_errors(PLAN.max_error_rate), (runs,)),
        "p99": CanaryEvidence(len(EDGES) + 1, sequential.slower(EDGES, PLAN.max_p99_ratio), (runs,)),
        "drift": CanaryEvidence(len(SCORES), sequential.drifted(PLAN.max_drift), (runs,)),
    }
    at = {name: np.full(runs, np.inf) for name in watched}
    for now in range(look_s, seconds + 1, look_s):
        ours, theirs = (rng.poisson(RPS * look_s * share, runs) for share in (weight, 1 - weight))
        for name, evidence in watched.items():
            kinds = [
                {"errors": np.array([1 - f.failed, f.failed]), "p99": f.seconds(), "drift": np.asarray(f.scores)}[name]
                for f in (champion, canary)
            ]
            counts = [rng.multinomial(n, k).astype(float) for n, k in zip((theirs, ours), kinds, strict=True)]
            evidence.add(*counts)
            hit = (evidence.log() >= evidence_needed(name, 0)) & beyond(name, evidence)
            at[name] = np.where(hit, np.minimum(at[name], now), at[name])
    return at


def beyond(name: str, evidence: CanaryEvidence) -> Mask:
    a, c = evidence.champion, evidence.canary
    measured: dict[str, Callable[[], Floats]] = {
        "errors": lambda: sequential.excess_of(a, c) - PLAN.max_error_rate,
        "p99": lambda: sequential.quantile(EDGES, c) - PLAN.max_p99_ratio * sequential.quantile(EDGES, a),
        "drift": lambda: sequential.stability_of(a, c) - PLAN.max_drift,
    }
    return np.asarray(measured[name]() > 0)


@pytest.mark.parametrize(("weight", "champion"), [(0.05, Fleet()), (0.25, Fleet(failed=0.05))])
def test_of_twenty_canaries_like_their_champion_hardly_ever_two_are_stopped(weight: float, champion: Fleet) -> None:
    at = stopped(champion, weight, 600, 2_000, champion, look_s=10)
    false_stops = np.isfinite(np.min(list(at.values()), axis=0))
    assert false_stops.mean() <= ALPHA / 4, "the first step may spend half of alpha, and the limits save as much again"
    assert (false_stops.reshape(100, 20).sum(axis=1) > 1).mean() <= 0.05


@pytest.mark.parametrize(("weight", "share"), [(0.05, 0.92), (0.1, 0.99), (0.25, 0.999)])
def test_two_percent_more_errors_are_off_within_three_minutes(weight: float, share: float) -> None:
    at = stopped(Fleet(failed=0.021), weight, 180, 1_000)
    assert np.isfinite(at["errors"]).mean() >= share


@pytest.mark.parametrize("weight", [0.05, 0.25])
def test_half_again_the_p99_is_off_within_three_minutes(weight: float) -> None:
    at = stopped(Fleet(latency=1.5), weight, 180, 1_000)
    assert np.isfinite(at["p99"]).mean() >= 0.999


def test_scores_that_moved_are_off_within_three_minutes_and_a_small_move_stays() -> None:
    far = np.asarray(SCORES) * np.exp(0.25 * np.arange(13))
    near = np.asarray(SCORES) * np.exp(0.03 * np.arange(13))
    assert np.isfinite(stopped(Fleet(scores=tuple(far / far.sum())), 0.05, 180, 500)["drift"]).mean() >= 0.99
    assert np.isfinite(stopped(Fleet(scores=tuple(near / near.sum())), 0.05, 180, 500)["drift"]).mean() <= 0.01


def test_a_fault_of_both_versions_at_once_stops_no_canary() -> None:
    rng, evidence = np.random.default_rng(3), CanaryEvidence(2, sequential.more_errors(0.01), (2_000,))
    for look in range(60):
        failed = 0.3 if 20 < look < 30 else 0.001  # the database was away
        counts = [rng.multinomial(n, [1 - failed, failed], 2_000).astype(float) for n in (237, 13)]
        evidence.add(*counts)
    assert (evidence.log() >= evidence_needed("errors", 0)).mean() < ALPHA


def test_the_quantile_is_that_of_prometheus() -> None:
    edges = np.array([0.1, 0.2, 0.5])
    assert sequential.quantile(edges, np.array([50.0, 40.0, 10.0, 0.0]), 0.99) == pytest.approx(0.2 + 0.3 * 0.9)
    assert sequential.quantile(edges, np.array([0.0, 0.0, 0.0, 5.0])) == pytest.approx(0.5)
    assert np.isnan(sequential.quantile(edges, np.zeros(4)))
