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
    if not len(top) or not bottom.sum():
        return NOTHING
    drawn = np.random.default_rng(seed).multinomial(
        len(top), np.full(len(top), 1 / len(top)), RESAMPLES
    )
    below = drawn @ bottom
    ratios = (drawn @ top)[below > 0] / below[below > 0]
    return _interval(float(top.sum() / bottom.sum()), ratios)


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
