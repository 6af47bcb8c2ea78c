"""Two streams of counts compared again and again, with a false-alarm rate that holds at every look together.

Each look is one block of counts of the champion and of the canary. Evidence against "both streams are alike" is a
product of likelihood ratios whose expectation is at most 1 however often one looks and however the common rates move
from block to block, so that it reaches 1/alpha with a probability of at most alpha.

Source: Turner, Ly, Grünwald, Generic E-variables for exact sequential k-sample tests that allow for optional stopping,
J. Statistical Planning and Inference 230 (2024), theorem 1; Ville (1939) for the bound over all looks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from carrental_mlops.core.arrays import Floats

Alternatives = Callable[[Floats], Floats]
"""(…, k) shares of the champion to (…, m, k) shares that a canary worth stopping may have."""

_LEAST = 200
"""Events of the champion before evidence is gathered: until then its shares are a guess."""
_PRIOR = 0.5
"""Events of each kind that the champion's shares begin with (Krichevsky and Trofimov, 1981)."""
_OWN = 25
"""Events that the canary's own past is pulled towards the champion's with, in the alternative that follows it."""


class CanaryEvidence:
    """How much speaks against a canary that is like its champion; every array may have leading dimensions (runs).

    Args:
        kinds: k, kinds of events that are counted.
        alternatives: what a canary worth stopping may look like; its own past is tried beside them.
        runs: leading shape; () for one rollout.
    """

    def __init__(self, kinds: int, alternatives: Alternatives, runs: tuple[int, ...] = ()) -> None:
        self._alternatives = alternatives
        self.champion = np.zeros((*runs, kinds))
        self.canary = np.zeros((*runs, kinds))
        self.logs: Floats | None = None
        """(…, m + 1) logarithm of the evidence by alternative."""

    def add(self, champion: Floats, canary: Floats) -> None:
        """Take the (…, k) counts since the last look; what is bet on them was fixed by the looks before."""
        shares = _shares(self.champion + _PRIOR)
        own = _shares(self.canary + _OWN * shares)[..., None, :]
        alike = shares[..., None, :]
        bets = np.concatenate([self._alternatives(shares), own], axis=-2)
        known = self.champion.sum(-1)[..., None, None] >= _LEAST
        bets = np.where(known, _shares(bets), alike)
        ours, theirs = canary[..., None, :], champion[..., None, :]
        n, m = ours.sum(-1, keepdims=True), theirs.sum(-1, keepdims=True)
        both = (m * alike + n * bets) / np.maximum(n + m, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            gained = theirs * np.log(alike / both) + ours * np.log(bets / both)
        step = np.where(n + m > 0, gained, 0.0).sum(-1)
        self.logs = step if self.logs is None else self.logs + step
        self.champion = self.champion + champion
        self.canary = self.canary + canary

    def log(self) -> Floats:
        """(…,) logarithm of the evidence: the mean over the alternatives; 0 before the first look."""
        if self.logs is None:
            return np.zeros(self.champion.shape[:-1])
        top = self.logs.max(-1, keepdims=True)
        total: Floats = top[..., 0] + np.log(np.exp(self.logs - top).mean(-1))
        return total


def _shares(counts: Floats) -> Floats:
    shares: Floats = counts / counts.sum(-1, keepdims=True)
    return shares


def more_errors(excess: float) -> Alternatives:
    """Kinds (good, failed): a canary that fails in `excess` (fraction) more of its answers, or 2 or 4 times that."""
    least = max(excess, 0.002)

    def shares(champion: Floats) -> Floats:
        failed = np.minimum(champion[..., 1:] + least * np.array([1.0, 2.0, 4.0]), 0.999)
        return np.stack([1 - failed, failed], axis=-1)

    return shares


def slower(edges: Floats, ratio: float) -> Alternatives:
    """Kinds: buckets of seconds with upper `edges`, then those above: all requests, or a slow few, `ratio` slower."""
    moved = _stretched(edges, max(ratio, 1.1))

    def shares(champion: Floats) -> Floats:
        above = np.clip(champion.cumsum(-1) - _BULK, 0, champion)
        tail = above / np.maximum(above.sum(-1, keepdims=True), 1e-12)
        few = (1 - _FEW) * champion + _FEW * (tail @ moved)
        whole = 0.999 * (champion @ moved) + 0.001 * champion
        return np.stack([whole, few], axis=-2)

    return shares


_BULK, _FEW = 0.95, 0.03
"""Share of requests that a slower tail leaves as they are, and share that it adds to the slow ones."""


def _stretched(edges: Floats, ratio: float) -> Floats:
    """(k, k): the share of bucket i that lies in bucket j once each value is `ratio` times as large.

    Values are taken as evenly spread within a bucket; those above the last edge stay there.
    """
    lows, highs = np.concatenate([[0.0], edges]), np.concatenate([edges, [np.inf]])
    moved = np.zeros((len(lows), len(lows)))
    moved[-1, -1] = 1
    for i in range(len(edges)):
        low, high = lows[i] * ratio, highs[i] * ratio
        moved[i] = np.clip(np.minimum(highs, high) - np.maximum(lows, low), 0, None) / (high - low)
    return moved


def drifted(index: float) -> Alternatives:
    """Kinds: bins of the score, ascending: scores that moved up, or down, by a population stability index `index`."""

    def shares(champion: Floats) -> Floats:
        place = np.sqrt(12) * (champion.cumsum(-1) - champion / 2 - 0.5)
        tilt = np.exp(np.sqrt(index) * place)
        return np.stack([champion * tilt, champion / tilt], axis=-2)

    return shares


def excess_of(champion: Floats, canary: Floats) -> Floats:
    """(…,) share of the canary's answers that failed, less the champion's; kinds (good, failed)."""
    ours, theirs = canary.sum(-1), champion.sum(-1)
    excess: Floats = canary[..., 1] / np.maximum(ours, 1) - champion[..., 1] / np.maximum(theirs, 1)
    return excess


def quantile(edges: Floats, counts: Floats, q: float = 0.99) -> Floats:
    """(…,) the `q` quantile (seconds) of bucket `counts`, as `histogram_quantile` of Prometheus has it; NaN of none.

    Source: https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    """
    total, before = counts.sum(-1), counts.cumsum(-1)
    rank = q * total
    bucket = np.minimum((before < rank[..., None]).sum(-1), len(edges))
    lows = np.concatenate([[0.0], edges])[bucket]
    highs = np.append(edges, edges[-1])[bucket]
    lows = np.minimum(lows, highs)
    inside = np.take_along_axis(counts, bucket[..., None], -1)[..., 0]
    already = np.take_along_axis(before, bucket[..., None], -1)[..., 0] - inside
    part = np.divide(rank - already, inside, out=np.zeros_like(rank), where=inside > 0)
    found: Floats = np.where(total > 0, lows + (highs - lows) * part, np.nan)
    return found


def stability_of(champion: Floats, canary: Floats) -> Floats:
    """(…,) population stability index of two sets of bin counts, less what chance alone adds to it.

    Source: Yurdakul and Naranjo, Statistical properties of the population stability index, J. Risk Model Validation 14
    (2020): under equal shares the index has expectation (k - 1)(1/n + 1/m).
    """
    ours, theirs = _shares(canary + _PRIOR), _shares(champion + _PRIOR)
    index = ((ours - theirs) * np.log(ours / theirs)).sum(-1)
    used = ((champion + canary) > 0).sum(-1) - 1
    n, m = np.maximum(canary.sum(-1), 1), np.maximum(champion.sum(-1), 1)
    adjusted: Floats = index - used * (1 / n + 1 / m)
    return adjusted
