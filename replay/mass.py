"""Mass: how much of each step's score falls on each source unit.

From rows of single tokens, or from heads that level `heads` pooled to units when it was recorded.
Knows no span and no vote.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnitrace.arrays import Array, Float32, Float64, Int64
from omnitrace.errors import CommandError
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.config import MassStage, ReplayConfig, ScoreStage
from replay.reduce import REDUCES
from replay.rows import Rows, chosen_heads, has_heads, has_rows, of_heads, rows_of, shares

BLOCK_CELLS = 1 << 19
"""Scores summed at once: numpy takes them to float64 in a copy of its own, which stays in cache."""


def mass_of(trace: Trace, units: Units, scores: ScoreStage, masses: MassStage) -> Float32:
    """(T, m) float32: the masses of `units`, from the scores that `scores` reads.

    Reading them may touch the disk. CommandError if what is chosen was not recorded.
    """
    if of_heads(trace, scores) and "queries" not in trace.arrays:
        return _pooled_mass(trace, units, scores, masses)
    return mass(rows_of(trace, scores), units, masses.reduce, masses.indirect)


def is_recorded(trace: Trace, config: ReplayConfig) -> bool:
    """Whether `trace` holds the scores that `config` chooses, in the form that its masses need.

    For a configuration that differs from one that works in one option: layers and heads that do
    not exist at all are for `mass_of` to name.
    """
    if not of_heads(trace, config):
        return has_rows(trace, config)
    whole_tokens = "queries" in trace.arrays
    return has_heads(trace, config) and (whole_tokens or can_be_pooled(config))


def mass(rows: Rows, units: Units, reduce: str, indirect: float = 0.0) -> Float32:
    """M[t, j] = reduce of a_t(i) over i in S_j: (T, m) float32 from T rows of n + t scores.

    `reduce`: of `REDUCES`. With `indirect` > 0 the scores hold what came by way of earlier steps
    too (`rollout`).
    """
    if not rows.T or not len(units):
        return np.zeros((rows.T, len(units)), np.float32)
    how = REDUCES[reduce]
    if not how.additive:
        if indirect:
            rows = _rolled_out(rows, indirect)
        reduced = _over_units(how.over_tokens, rows, units, np.float32)
    else:
        reduced = _over_units(np.add, rows, units, np.float64)
        if indirect:
            reduced = rollout(reduced, rows, indirect)
    return how.calibrate(reduced, units.sizes, rows.n).astype(np.float32, copy=False)


def rollout(direct: Float64, rows: Rows, weight: float) -> Float64:
    """(T, k) float64: `direct` (T, k), each step's scores of k things, and what flows to them
    through earlier steps.

    F[t] = direct[t] + weight · Σ_{s<t} a_t(n+s) · F[s] / r_s, with r_s = Σ_i a_s(i), 0 where r_s
    is 0: what step t takes from token y_s counts for what y_s came from. At weight 1 nothing is
    lost: if the k things hold the whole prompt, Σ_k F[t] = r_t.
    """
    total = direct.copy()
    sources = np.zeros_like(direct)
    for t, start in enumerate(rows.starts.tolist()):
        row = rows.values[start : start + rows.n + t].astype(np.float64)
        total[t] += weight * (row[rows.n :] @ sources[:t])
        whole = row.sum()
        if whole > 0:
            sources[t] = total[t] / whole
    return total


def _rolled_out(rows: Rows, weight: float) -> Rows:
    """The rows with the rollout of every prompt token."""
    dense = rows.dense()
    prompt = rollout(dense[:, : rows.n].astype(np.float64), rows, weight)
    return Rows.of_dense(np.concatenate([prompt, dense[:, rows.n :]], axis=1, dtype=np.float32))


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


def can_be_pooled(masses: MassStage) -> bool:
    """Whether sums over units are enough for these masses: no single token, no earlier step."""
    return REDUCES[masses.reduce].additive and not masses.indirect


def _pooled_mass(trace: Trace, units: Units, scores: ScoreStage, masses: MassStage) -> Float32:
    """(T, m) float32: the masses of the chosen heads, max(0, Σ w·M[l,h] / Σ|w|), then calibrated.

    CommandError where pooled masses do not tell (`can_be_pooled`, `merged_units`).
    """
    if not can_be_pooled(masses):
        raise CommandError(
            f"sample '{trace.id}': its heads were pooled to units when they were recorded, so "
            'that reduce = "max" and indirect cannot be had; record with --level qk for them.'
        )
    pooled = trace.heads()
    weights = chosen_heads(trace, scores, pooled.mass.shape[:2])
    total = np.zeros((trace.T, pooled.mass.shape[3]))
    for (layer, head), share in zip(weights, shares(weights), strict=True):
        total += share * pooled.mass[layer, head]
    merged = _merged(np.maximum(total, 0), merged_units(trace, units), len(units))
    return REDUCES[masses.reduce].calibrate(merged, units.sizes, trace.n).astype(np.float32)


def merged_units(trace: Trace, units: Units) -> Int64:
    """(recorded units,) the unit that each recorded one is in, -1 for none; CommandError naming
    one that is cut apart, or whose tokens no recorded unit holds."""
    recorded = trace.heads().unit_of
    owner = units.owner_of_tokens(trace.n)
    count = trace.heads().mass.shape[3]
    merged = np.full(count, -1)
    merged[recorded[recorded >= 0]] = owner[recorded >= 0]
    expected = np.where(recorded >= 0, merged[recorded], -1)
    wrong = np.flatnonzero(owner != expected)
    if wrong.size:
        token = int(wrong[0])
        unit = max(int(owner[token]), int(expected[token]))
        raise CommandError(
            f"sample '{trace.id}': its heads were pooled to units when they were recorded, and "
            f"'{units.label[unit]}' is not made of whole ones; replay with those units."
        )
    return merged


def _merged(total: Float64, merged: Int64, m: int) -> Float64:
    """(T, m): the columns of `total` (T, recorded units) added up by unit."""
    held = merged >= 0
    member = np.zeros((len(merged), m))
    member[np.flatnonzero(held), merged[held]] = 1
    return total @ member
