"""Mass: how much of each step's score falls on each source unit.

From rows of single tokens, or from heads that level `heads` pooled to units when it was recorded.
Knows no span and no vote.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from omnitrace.arrays import Array, Bool, Float32, Float64, Int64
from omnitrace.errors import CommandError
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.config import MassStage, ReplayConfig, ScoreStage, TokenConfig
from replay.prior import read_prior, signal_of_prior
from replay.reduce import REDUCES
from replay.rows import Rows, chosen_heads, has_heads, has_rows, of_heads, rows_of, shares
from replay.tokens import (
    ACTIVATION,
    held,
    less,
    mean_scores,
    over,
    reads_scores,
    usual_scores,
    without,
)

BLOCK_CELLS = 1 << 19
"""Scores summed at once: numpy takes them to float64 in a copy of its own, which stays in cache."""


PLACES = ("units", "request", "template", "filtered", "answer")
"""Where a step's scores lie: on units that can be named; on the request, where it is not named or
left out; on prompt tokens in no unit (BOS, the chat template, blanks); on tokens of units that a
filter dropped; on earlier tokens of the response."""
UNITS, REQUEST, TEMPLATE, FILTERED, ANSWER = range(len(PLACES))


@dataclass(frozen=True)
class Masses:
    """`mass` (T, m) float32: the masses of m units. `places` (T, 5) float32, by `PLACES`: where
    each step's scores lie as they were recorded, as shares that sum to 1, 0 for a step without
    scores; NaN where recorded heads do not tell."""

    mass: Float32
    places: Float32

    @property
    def table(self) -> Float32:
        """(T, m + 5): both side by side, as the cache keeps them."""
        table: Float32 = np.concatenate([self.mass, self.places], axis=1)
        return table

    @classmethod
    def of_table(cls, table: Float32) -> Masses:
        """The inverse of `table`; views."""
        return cls(table[:, : -len(PLACES)], table[:, -len(PLACES) :])


@dataclass(frozen=True)
class Taken:
    """What is taken off the rows: the prompt tokens `dropped` (n,) bool carry nothing; `request`
    (n,) bool: the tokens of a request that was left out of the units."""

    dropped: Bool
    request: Bool

    def id(self, scores: ScoreStage, tokens: TokenConfig) -> str:
        """A text that stands for all that `mass_of` takes off, for the cache."""
        prior = read_prior(tokens.prior, scores.signal).digest if tokens.prior else ""
        parts = self.dropped.tobytes(), self.request.tobytes()
        return "\n".join([repr(tokens), prior, *(sha256(part).hexdigest() for part in parts)])


def mass_of(
    trace: Trace,
    units: Units,
    scores: ScoreStage,
    tokens: TokenConfig,
    masses: MassStage,
    taken: Taken,
) -> Masses:
    """The masses of `units`, from the scores that `scores` reads, and where these lie.

    Reading them may touch the disk. CommandError if what is chosen was not recorded.
    """
    if of_heads(trace, scores) and "queries" not in trace.arrays:
        return _pooled_masses(trace, units, scores, tokens, masses)
    raw = rows_of(trace, scores)
    kept = without(raw, taken.dropped)
    changed = _calibrated(trace, kept, scores, tokens)
    sums = _sums(kept, units)
    own = sums if changed is kept else _sums(changed, units)
    return Masses(
        _reduced(changed, units, masses.reduce, masses.indirect, own.units),
        _places(sums, units, held(raw, taken.dropped), held(kept, taken.request)),
    )


def _places(sums: Sums, units: Units, filtered: Float64, left_out: Float64) -> Float32:
    """(T, 5) float32: `Masses.places` from the sums of filtered rows, and what the tokens that are
    filtered and the request that is left out hold of each step, (T,) both."""
    found = np.zeros((len(filtered), len(PLACES)))
    found[:, UNITS] = sums.units[:, ~units.unnamed].sum(axis=1)
    found[:, REQUEST] = sums.units[:, units.unnamed].sum(axis=1) + left_out
    found[:, TEMPLATE] = sums.prompt - found[:, UNITS] - found[:, REQUEST]
    found[:, FILTERED], found[:, ANSWER] = filtered, sums.answer
    found = np.maximum(found, 0)  # a difference of sums may be an ulp below
    whole = found.sum(axis=1, keepdims=True)
    places: Float64 = np.divide(found, whole, out=np.zeros_like(found), where=whole > 0)
    return places.astype(np.float32)


def _calibrated(trace: Trace, rows: Rows, scores: ScoreStage, tokens: TokenConfig) -> Rows:
    """The rows less their baseline, and less or over the prior; the same rows without either."""
    if tokens.baseline == "mean":
        rows = less(rows, mean_scores(rows))
    if tokens.baseline == "usual":
        rows = less(rows, usual_scores(rows, tokens.quantile))
    if tokens.prior:
        usual = read_prior(tokens.prior, scores.signal).usual(trace)
        rows = less(rows, usual) if tokens.prior_use == "subtract" else over(rows, usual)
    return rows


def is_recorded(trace: Trace, config: ReplayConfig) -> bool:
    """Whether `trace` holds the scores that `config` chooses, in the form that its masses need.

    For a configuration that differs from one that works in one option: layers and heads that do
    not exist at all are for `mass_of` to name.
    """
    if config.tokens.activation and ACTIVATION not in trace.arrays:
        return False
    if config.tokens.prior and signal_of_prior(config.tokens.prior) != config.signal:
        return False
    if not of_heads(trace, config):
        return has_rows(trace, config)
    whole_tokens = "queries" in trace.arrays
    return has_heads(trace, config) and (whole_tokens or can_be_pooled(config.tokens, config))


def mass(rows: Rows, units: Units, reduce: str, indirect: float = 0.0) -> Float32:
    """M[t, j] = reduce of a_t(i) over i in S_j: (T, m) float32 from T rows of n + t scores.

    `reduce`: of `REDUCES`. With `indirect` > 0 the scores hold what came by way of earlier steps
    too (`rollout`).
    """
    sums = _sums(rows, units).units if REDUCES[reduce].additive else None
    return _reduced(rows, units, reduce, indirect, sums)


def _reduced(
    rows: Rows, units: Units, reduce: str, indirect: float, sums: Float64 | None
) -> Float32:
    """As `mass`; `sums` (T, m): those of the rows over the tokens of each unit, where `reduce` adds
    scores up."""
    if not rows.T or not len(units):
        return np.zeros((rows.T, len(units)), np.float32)
    how = REDUCES[reduce]
    if sums is not None and how.additive:
        reduced = rollout(sums, rows, indirect) if indirect else sums
    else:
        if indirect:
            rows = _rolled_out(rows, indirect)
        reduced = _over_units(how.over_tokens, rows, units, np.float32)
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


@dataclass(frozen=True)
class Sums:
    """Sums of scores, float64: of each unit's tokens, `units` (T, m), of all prompt tokens,
    `prompt` (T,), and of the earlier response tokens, `answer` (T,)."""

    units: Float64
    prompt: Float64
    answer: Float64


def _sums(rows: Rows, units: Units) -> Sums:
    """The sums of the rows, in one pass over them."""
    if not rows.T:
        return Sums(np.zeros((0, len(units))), np.zeros(0), np.zeros(0))
    by_edge, first_edge = _by_edge(np.add, rows, units, np.float64)
    by_edge[0, -1] = 0  # step 0 has no earlier one
    of_units = _of_units(np.add, by_edge, first_edge, units)
    return Sums(of_units, by_edge[:, :-1].sum(axis=1), by_edge[:, -1])


def _over_units(ufunc: np.ufunc, rows: Rows, units: Units, dtype: npt.DTypeLike) -> Array:
    """(T, m) of `dtype`, in which it is computed: `ufunc` reduced over the tokens of each unit."""
    return _of_units(ufunc, *_by_edge(ufunc, rows, units, dtype), units)


def _by_edge(
    ufunc: np.ufunc, rows: Rows, units: Units, dtype: npt.DTypeLike
) -> tuple[Array, Int64]:
    """(T, k) of `dtype`: `ufunc` reduced from each edge of a unit's range, token 0 and token n to
    the next one, from n to the end of the row; and (R,) the edge at which each range begins."""
    bounds = np.concatenate([units.ranges[:, 0], units.ranges[:, 1], [0, rows.n]])
    edges, which = np.unique(bounds, return_inverse=True)
    by_edge = np.empty((rows.T, len(edges)), dtype)
    height = max(1, BLOCK_CELLS // (rows.n + rows.T))
    for first in range(0, rows.T, height):
        _over_edges(ufunc, rows, edges.astype(np.int64), by_edge[first : first + height], first)
    return by_edge, which[: len(units.ranges)]


def _of_units(ufunc: np.ufunc, by_edge: Array, first_edge: Int64, units: Units) -> Array:
    """(T, m): `ufunc` reduced over the ranges of each unit."""
    by_range = by_edge[:, first_edge]
    if len(first_edge) == len(units):
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


def can_be_pooled(tokens: TokenConfig, masses: MassStage) -> bool:
    """Whether sums over units are enough for these masses: no single token, no earlier step."""
    additive = REDUCES[masses.reduce].additive and not masses.indirect
    return additive and not reads_scores(tokens)


def _pooled_masses(
    trace: Trace, units: Units, scores: ScoreStage, tokens: TokenConfig, masses: MassStage
) -> Masses:
    """The masses of the chosen heads, max(0, Σ w·M[l,h] / Σ|w|), then calibrated.

    CommandError where pooled masses do not tell (`can_be_pooled`, `merged_units`).
    """
    if not can_be_pooled(tokens, masses):
        raise CommandError(
            f"sample '{trace.id}': its heads were pooled to units when they were recorded, so "
            'that reduce = "max", indirect and the options of tokens cannot be had; record with '
            "--level qk for them."
        )
    pooled = trace.heads()
    weights = chosen_heads(trace, scores, pooled.mass.shape[:2])
    total = np.zeros((trace.T, pooled.mass.shape[3]))
    for (layer, head), share in zip(weights, shares(weights), strict=True):
        total += share * pooled.mass[layer, head]
    merged = _merged(np.maximum(total, 0), merged_units(trace, units), len(units))
    calibrated = REDUCES[masses.reduce].calibrate(merged, units.sizes, trace.n)
    unknown = np.full((trace.T, len(PLACES)), np.nan, np.float32)
    return Masses(calibrated.astype(np.float32), unknown)


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
