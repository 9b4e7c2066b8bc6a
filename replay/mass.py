"""Mass: how much of each step's score falls on each source unit. Knows no trace and no config."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnitrace.arrays import Array, Float32, Float64, Int64
from omnitrace.units import Units
from replay.rows import Rows

BLOCK_CELLS = 1 << 19
"""Scores summed at once: numpy takes them to float64 in a copy of its own, which stays in cache."""


def mass(rows: Rows, units: Units, reduce: str, indirect: float = 0.0) -> Float32:
    """M[t, j] = reduce of a_t(i) over i in S_j: (T, m) float32 from T rows of n + t scores.

    `sum`: the paper's equation (§3.2); `max`: the best single token, as the release has it; the
    others are made of sums by `calibrate`. With `indirect` > 0 the scores hold what came by way
    of earlier steps too (`follow`).
    """
    if not rows.T or not len(units):
        return np.zeros((rows.T, len(units)), np.float32)
    if reduce == "max" and indirect:
        whole = rows.dense()
        prompt = follow(whole[:, : rows.n].astype(np.float64), rows, indirect)
        rows = Rows.of_dense(np.concatenate([prompt, whole[:, rows.n :]], axis=1, dtype=np.float32))
    if reduce == "max":
        return _over_units(np.maximum, rows, units, np.float32)
    total = _over_units(np.add, rows, units, np.float64)
    if indirect:
        total = follow(total, rows, indirect)
    return calibrate(total, units, rows.n, reduce)


def calibrate(total: Float64, units: Units, n: int, reduce: str) -> Float32:
    """(T, m) float32 masses from the units' sums (T, m), Σ_{i∈S_j} a_t(i).

    - `sum`: as they are; `mean`: sum / |S_j|;
    - `uniform`: sum / (|S_j| / (n+t)): how many times what even attention would give it. Takes
      out a unit's length, and that rows grow longer;
    - `lift`: sum / (the unit's mean sum over the T steps), 0 where that mean is 0: how much more
      than usual in this response. Takes out what a unit always gets: its length, its place, its
      attention sinks;
    - `surplus`: max(0, sum - the unit's mean sum over the T steps): the same as a difference, so
      that a unit which hardly gets anything does not win by a multiple of it.
    """
    if reduce in ("mean", "uniform"):
        total = total / np.add.reduceat(np.diff(units.ranges)[:, 0], units.offset[:-1])
    if reduce == "uniform":
        total = total * (n + np.arange(len(total)))[:, None]
    elif reduce in ("lift", "surplus"):
        usual = total.mean(axis=0)
        if reduce == "surplus":
            total = np.maximum(total - usual, 0)
        else:
            total = np.divide(total, usual, out=np.zeros_like(total), where=usual > 0)
    return total.astype(np.float32)


def follow(direct: Float64, rows: Rows, weight: float) -> Float64:
    """(T, k) float64: `direct` (T, k), each step's scores of k things, and what flows to them
    through earlier steps.

    F[t] = direct[t] + weight · Σ_{s<t} a_t(n+s) · F[s] / r_s, with r_s = Σ_i a_s(i), 0 where r_s
    is 0: what step t takes from token y_s counts for what y_s came from. At weight 1 nothing is
    lost: if the k things hold the whole prompt, Σ_k F[t] = r_t.
    """
    followed = direct.copy()
    sources = np.zeros_like(direct)
    for t, start in enumerate(rows.starts.tolist()):
        row = rows.values[start : start + rows.n + t].astype(np.float64)
        followed[t] += weight * (row[rows.n :] @ sources[:t])
        whole = row.sum()
        if whole > 0:
            sources[t] = followed[t] / whole
    return followed


def _over_units(ufunc: np.ufunc, rows: Rows, units: Units, dtype: npt.DTypeLike) -> Array:
    """(T, m) of `dtype`, in which it is computed: `ufunc` reduced over the tokens of each unit."""
    order = np.argsort(units.ranges[:, 0])
    edges, which = np.unique(units.ranges[order], return_inverse=True)
    by_edge = np.empty((rows.T, len(edges)), dtype)
    height = max(1, BLOCK_CELLS // (rows.n + rows.T))
    for first in range(0, rows.T, height):
        _over_edges(ufunc, rows, edges.astype(np.int64), by_edge[first : first + height], first)
    by_range = by_edge[:, which.reshape(-1, 2)[np.argsort(order), 0]]
    if len(order) == len(units):
        return by_range
    reduced: Array = ufunc.reduceat(by_range, units.offset[:-1], axis=1)
    return reduced


def _over_edges(ufunc: np.ufunc, rows: Rows, edges: Int64, out: Array, first: int) -> None:
    """Reduce rows `first`, `first` + 1, … between `edges` (k,) into `out` (rows, k).

    One pass over the recorded values. What an edge begins that no unit does is of no use: a gap,
    and at the last edge all up to the next row's first.
    """
    last = first + len(out)
    starts = rows.starts[first:last]
    end = int(rows.starts[last]) if last < rows.T else len(rows.values)
    values = rows.values[starts[0] : end]
    places = ((starts - starts[0])[:, None] + edges).reshape(-1)
    inside = places[: np.searchsorted(places, len(values))]
    flat = out.reshape(-1)
    ufunc.reduceat(values, inside, dtype=out.dtype, out=flat[: len(inside)])
