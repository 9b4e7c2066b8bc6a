"""Mass: how much of each step's score falls on each source unit. Knows no trace and no config."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnitrace.units import Units

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def mass(scores: Float32, units: Units, reduce: str) -> Float32:
    """M[t, j] = reduce of a_t(i) over i in S_j: (T, m) float32 from scores (T, n+T).

    - `sum`: the paper's equation (§3.2); `max`: the best single token, as the release has it;
      `mean`: sum / |S_j|;
    - `lift`: sum / (the unit's mean sum over the T steps), 0 where that mean is 0: how much more
      than usual in this response. Takes out what a unit always gets: its length, its place, its
      attention sinks.
    """
    if not len(scores) or not len(units):
        return np.zeros((len(scores), len(units)), np.float32)
    if reduce == "max":
        return _over_units(np.maximum, scores, units).astype(np.float32)
    total = _over_units(np.add, scores, units)
    if reduce == "mean":
        total /= np.add.reduceat(np.diff(units.ranges)[:, 0], units.offset[:-1])
    elif reduce == "lift":
        usual = total.mean(axis=0)
        total = np.divide(total, usual, out=np.zeros_like(total), where=usual > 0)
    return total.astype(np.float32)


def _over_units(ufunc: np.ufunc, scores: Float32, units: Units) -> Float64:
    """(T, m) float64: `ufunc` reduced over the tokens of each unit, by ranges, then by units."""
    order = np.argsort(units.ranges[:, 0])
    edges = units.ranges[order].reshape(-1)
    by_range = np.empty((len(scores), len(order)))
    by_range[:, order] = ufunc.reduceat(scores, edges, axis=1, dtype=np.float64)[:, ::2]
    reduced: Float64 = ufunc.reduceat(by_range, units.offset[:-1], axis=1)
    return reduced
