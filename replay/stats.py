"""Statistics of samples: bootstrap intervals, ratios of sums, and rank correlation.

Intervals come from samples drawn again, for the spans of one sample are not independent. Knows
arrays only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Float64, Int64

RESAMPLES = 1000
LEVEL = 0.95
"""Of the confidence intervals."""
_BLOCK = 2**22
"""How many weights of a bootstrap are in memory at a time."""
BINS = 10
EDGES = np.linspace(0, 1, BINS + 1)
"""Of the bins in which predicted shares are compared with true ones."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % bootstrap interval; NaN where there is nothing to estimate from."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "–"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


NOTHING = Estimate(np.nan, np.nan, np.nan)


def pooled(top: Float64, bottom: Float64, seed: int = 0) -> Estimate:
    """Σ top / Σ bottom over samples, (S,) each, with the interval of S samples drawn again."""
    sums = np.stack([top, bottom], axis=1)
    return of_sums(sums, lambda total: divided(total[..., 0], total[..., 1]), seed)


def of_sums(sums: Float64, statistic: Callable[[Float64], Float64], seed: int = 0) -> Estimate:
    """A statistic of what samples add up to, with the interval of S samples drawn again.

    `sums` (S, k): what each sample adds; `statistic`: (…, k) to (…,), NaN where it is not known.
    """
    if not len(sums):
        return NOTHING
    drawn = statistic(bootstrap_sums(sums, RESAMPLES, seed))
    return _interval(float(statistic(sums.sum(axis=0))), drawn)


def bootstrap_sums(sums: Float64, draws: int, seed: int = 0) -> Float64:
    """(draws, k): the sums of S > 0 samples drawn again from `sums` (S, k), so many times."""
    rng, samples = np.random.default_rng(seed), len(sums)
    block = max(1, _BLOCK // samples)
    even = np.full(samples, 1 / samples)
    parts = [
        rng.multinomial(samples, even, size=min(block, draws - done)) @ sums
        for done in range(0, draws, block)
    ]
    return np.concatenate(parts)


def percentile_bounds(drawn: Float64) -> Float64:
    """(2, …): the ends of the interval over the first axis of `drawn`, which is known all over."""
    tails = [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2]
    bounds: Float64 = np.percentile(drawn, tails, axis=0)
    return bounds


def divided(top: Float64, bottom: Float64) -> Float64:
    """top / bottom, NaN where that is nothing."""
    ratio: Float64 = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
    return ratio


def sums_of_bins(predicted: Float64, true: Float64) -> Float64:
    """(3, 10): how many values, the sum of `predicted` (k,) in [0, 1], and that of `true` (k,), by
    bin of `predicted`."""
    at = np.clip(np.searchsorted(EDGES, predicted, side="right") - 1, 0, BINS - 1)
    return np.stack([np.bincount(at, w, BINS) for w in (np.ones(len(at)), predicted, true)])


def bins_of(sums: Float64) -> tuple[Float64, Float64, Float64, Float64, Float64, Float64]:
    """`EDGES`; by bin (10,): how many values, the mean predicted and the mean true one, and the
    lower and upper end of the interval of the latter, NaN for an empty bin.

    `sums` (S, 3, 10): of each sample, as of `sums_of_bins`.
    """
    count, predicted, true = sums.sum(axis=0)
    bounds = [pooled(sums[:, 2, b], sums[:, 0, b]) for b in range(BINS)]
    low, high = np.array([(bound.low, bound.high) for bound in bounds]).T
    return EDGES, count, divided(predicted, count), divided(true, count), low, high


def resampled(statistic: Callable[[Int64], float], samples: int, seed: int = 0) -> Estimate:
    """`statistic` of all sample numbers, with the interval of `samples` of them drawn again."""
    if not samples:
        return NOTHING
    rng = np.random.default_rng(seed)
    drawn = [statistic(rng.integers(0, samples, samples)) for _ in range(RESAMPLES)]
    return _interval(statistic(np.arange(samples)), np.array(drawn))


def _interval(value: float, drawn: Float64) -> Estimate:
    known = drawn[np.isfinite(drawn)]
    if np.isnan(value) or not len(known):
        return NOTHING
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return Estimate(value, low, high)


def spearman(one: Float64, other: Float64, constant: float = np.nan) -> float:
    """Spearman's rank correlation, ties by their mean rank; `constant` if either does not vary."""
    middle = (len(one) - 1) / 2
    a, b = mean_ranks(one) - middle, mean_ranks(other) - middle
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread > 0 else constant


def mean_ranks(values: Float64) -> Float64:
    """(k,): the rank of each value from 0, that of ties their mean."""
    ordered = np.sort(values)
    low, high = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    ranks: Float64 = (low + high - 1) / 2
    return ranks
