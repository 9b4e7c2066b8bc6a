"""Numbers with their uncertainty: bootstrap over samples, whose spans are not independent.

Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

RESAMPLES = 1000
LEVEL = 0.95


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
    return of_sums(np.stack([top, bottom], axis=1), _ratio, seed)


def of_sums(sums: Float64, statistic: Callable[[Float64], Float64], seed: int = 0) -> Estimate:
    """A statistic of what samples add up to, with the interval of S samples drawn again.

    `sums` (S, k): what each sample adds; `statistic`: (…, k) to (…,), NaN where it is not known.
    """
    if not len(sums):
        return NOTHING
    even = np.full(len(sums), 1 / len(sums))
    drawn = np.random.default_rng(seed).multinomial(len(sums), even, RESAMPLES)
    return _interval(float(statistic(sums.sum(axis=0))), statistic(drawn @ sums))


def _ratio(sums: Float64) -> Float64:
    top, bottom = sums[..., 0], sums[..., 1]
    return divided(top, bottom)


def divided(top: Float64, bottom: Float64) -> Float64:
    """top / bottom, NaN where that is nothing."""
    ratio: Float64 = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
    return ratio


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
