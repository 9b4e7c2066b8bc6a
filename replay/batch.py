"""Curation of many spans under many configurations at once, equal to `replay.curate` bit for bit.

Every sum is added in the order of the paper's listing, and every power is the one that Python's
`**` takes, so that a source which lies exactly on a threshold, or ties with another, is kept or
dropped as the listing does. Knows no trace.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from omnitrace.timeline import Float64, Int32
from replay.config import CurationConfig
from replay.curate import curate, votes

Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Ballots:
    """N votes to be curated cell by cell; a cell is a span in one competition, or a span.

    `cell` (N,) int32, ascending, below `cells`; `source` (N,) int32: what each step is traced to;
    `tag` (N,) int32: its part of speech, an index into `tags`; `confidence` (N,) float32. Within a
    cell the steps are in order.
    """

    cells: int
    cell: Int32
    source: Int32
    tag: Int32
    confidence: Float32
    tags: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.cell)


def joined(parts: Sequence[Ballots]) -> Ballots:
    """The ballots of many samples one after another, their cells numbered on."""
    first = np.cumsum([0, *(part.cells for part in parts)])
    tags = tuple(dict.fromkeys(tag for part in parts for tag in part.tags))
    code = {tag: number for number, tag in enumerate(tags)}
    recoded = [np.array([code[tag] for tag in p.tags] + [0], np.int32)[p.tag] for p in parts]
    none = np.empty(0, np.int32)
    return Ballots(
        cells=int(first[-1]),
        cell=np.concatenate([none, *(p.cell + at for p, at in zip(parts, first[:-1], strict=True))])
        .astype(np.int32),
        source=np.concatenate([none, *(part.source for part in parts)]),
        tag=np.concatenate([none, *recoded]),
        confidence=np.concatenate([none.astype(np.float32), *(p.confidence for p in parts)]),
        tags=tags,
    )  # fmt: skip


@dataclass(frozen=True)
class Pairs:
    """P pairs of a cell and a source that was voted for in it, by cell, then by first vote.

    `cell`, `source`, `place` (P,) int32: `place` counts within the cell. `of_vote` (N,): the pair
    of each vote.
    """

    cells: int
    cell: Int32
    source: Int32
    place: Int32
    of_vote: Int64

    def __len__(self) -> int:
        return len(self.cell)

    @property
    def width(self) -> int:
        """The most pairs that a cell has."""
        return int(self.place.max(initial=-1)) + 1

    @property
    def slot(self) -> Int64:
        """(P,): where each pair stands in a flat table of (cells, width)."""
        return self.cell.astype(np.int64) * self.width + self.place


@dataclass(frozen=True)
class Curations:
    """What G configurations keep of P pairs: `kept` (G, P) bool.

    `rank` (G, P) int32: the place of a pair among those of its cell by score, best first; -1 in a
    cell without votes.
    """

    pairs: Pairs
    kept: Bool
    rank: Int32

    def sources(self, config: int, cell: int) -> list[int]:
        """Ŝ of one cell under one configuration, best first."""
        here = np.flatnonzero((self.pairs.cell == cell) & self.kept[config])
        best_first = here[np.argsort(self.rank[config, here])]
        return [int(unit) for unit in self.pairs.source[best_first]]


class Plan:
    """G curation configurations, sorted out once so that equal parts of them are computed once.

    V distinct ways to vote, A distinct ways to rank (a vote and an alpha), G ways to cut.
    """

    def __init__(self, configs: Sequence[CurationConfig]) -> None:
        self.configs = tuple(configs)
        weights = [(tuple(sorted(c.pos_weights.items())), c.pos_other) for c in self.configs]
        ways = [(w, c.gamma) for w, c in zip(weights, self.configs, strict=True)]
        voters, vote_of = _distinct(ways)
        rankers, self.rank_of = _distinct(
            [(v, c.alpha) for v, c in zip(vote_of.tolist(), self.configs, strict=True)]
        )
        self.weights = [(dict(named), other) for (named, other), _ in voters]
        self.gammas, self.gamma_of = _distinct([gamma for _, gamma in voters])
        self.vote_of = np.array([vote for vote, _ in rankers], np.intp)
        self.alpha = np.array([alpha for _, alpha in rankers])[:, None]
        self.p_min, self.run_min, self.coverage = (
            np.array([getattr(c, name) for c in self.configs])[:, None]
            for name in ("p_min", "run_min", "coverage")
        )

    def votes(self, ballots: Ballots) -> Float64:
        """(V, N) float64: w_t = POS weight · max(c_t, 0)^γ, as `replay.curate.votes`."""
        base = np.maximum(ballots.confidence.astype(np.float64), 0.0)
        # float_power takes C's pow, as Python does; numpy's power has its own, an ulp off.
        powers = np.stack([np.float_power(base, gamma) for gamma in self.gammas])
        weights = np.array(
            [[w.get(tag, other) for tag in ballots.tags] for w, other in self.weights]
        )
        cast: Float64 = weights[:, ballots.tag] * powers[self.gamma_of]
        return cast


def _distinct(keys: Sequence[K]) -> tuple[list[K], npt.NDArray[np.intp]]:
    """The distinct keys in order of first appearance, and which of them each key is."""
    number: dict[K, int] = {}
    of = [number.setdefault(key, len(number)) for key in keys]
    return list(number), np.array(of, np.intp)


def curate_many(ballots: Ballots, plan: Plan) -> Curations:
    """What each configuration keeps in each cell: `replay.curate.curate`, batched."""
    pairs = pair_up(ballots)
    if not len(pairs):
        return Curations(pairs, *(np.empty((len(plan.configs), 0), t) for t in (bool, np.int32)))
    vote = plan.votes(ballots)
    total = _totals(vote, ballots)
    if not np.isfinite(total).all():
        return _literally(ballots, pairs, plan)
    share, run = _shares(vote, total, pairs)
    return _cut(share, run, total > 0, pairs, plan)


def pair_up(ballots: Ballots) -> Pairs:
    """The pairs that votes were cast for."""
    count = len(ballots)
    low = int(ballots.source.min(initial=0))
    units = int(ballots.source.max(initial=-1)) + 1 - low
    key = ballots.cell.astype(np.int64) * units + ballots.source - low
    table = np.full(ballots.cells * units, count)
    np.minimum.at(table, key, np.arange(count))
    first = table[key]
    opens = first == np.arange(count)
    cell = ballots.cell[opens]
    starts = np.searchsorted(cell, cell)
    return Pairs(
        cells=ballots.cells,
        cell=cell,
        source=ballots.source[opens],
        place=(np.arange(len(cell)) - starts).astype(np.int32),
        of_vote=(np.cumsum(opens) - 1)[first],
    )


def _totals(vote: Float64, ballots: Ballots) -> Float64:
    """(V, cells): the sum of each cell's votes by Python's `sum`, compensated from 3.12 on."""
    if sys.version_info >= (3, 12):
        bounds = np.searchsorted(ballots.cell, np.arange(ballots.cells + 1)).tolist()
        return np.array([[sum(row[a:b]) for a, b in pairwise(bounds)] for row in vote.tolist()])
    return _sums(vote, ballots.cell, ballots.cells)


def _sums(values: Float64, group: npt.NDArray[np.integer], groups: int) -> Float64:
    """(V, groups): the sum of each group of the columns of `values` (V, N), added from the left."""
    rows = len(values)
    flat = group + groups * np.arange(rows)[:, None]
    summed = np.bincount(flat.ravel(), values.ravel(), rows * groups).astype(np.float64)
    return summed.reshape(rows, groups)


def _shares(vote: Float64, total: Float64, pairs: Pairs) -> tuple[Float64, Float64]:
    """(V, P) each: every pair's share of its cell's votes, and that of its longest run."""
    breaks = np.flatnonzero(np.diff(pairs.of_vote, prepend=-1))
    run = np.repeat(np.arange(len(breaks)), np.diff(breaks, append=vote.shape[1]))
    runs = _sums(vote, run, len(breaks))
    order = np.argsort(pairs.of_vote[breaks], kind="stable")
    starts = np.searchsorted(pairs.of_vote[breaks][order], np.arange(len(pairs)))
    longest = np.maximum.reduceat(runs[:, order], starts, axis=1)
    whole = np.where(total > 0, total, 1.0)[:, pairs.cell]
    return _sums(vote, pairs.of_vote, len(pairs)) / whole, longest / whole


def _cut(share: Float64, run: Float64, voted: Bool, pairs: Pairs, plan: Plan) -> Curations:
    """Rank the pairs of each cell and keep them in that order until enough is covered.

    `share`, `run` (V, P); `voted` (V, cells): where any vote was cast.
    """
    share, run = share[plan.vote_of], run[plan.vote_of]
    order = _best_first(plan.alpha * share + (1.0 - plan.alpha) * run, pairs)
    tables = [_ranked(values, order, pairs) for values in (share, run)]
    filled = np.arange(pairs.width)[:, None] < np.bincount(pairs.cell, minlength=pairs.cells)
    taken = np.zeros((len(plan.configs), *order.shape[1:]), bool)
    some = np.zeros((len(plan.configs), pairs.cells), bool)
    covered = np.zeros_like(some, float)
    for place in range(pairs.width):
        mass, length = (table[place][plan.rank_of] for table in tables)
        keep = (mass >= plan.p_min) | (length >= plan.run_min)
        keep &= ~(some & (covered >= plan.coverage)) & filled[place]
        covered += np.where(keep, mass, 0.0)
        some |= keep
        taken[:, :, place] = keep
    taken &= voted[plan.vote_of[plan.rank_of]][:, :, None]
    rank = np.argsort(order, axis=-1)
    kept = np.take_along_axis(taken, rank[plan.rank_of], axis=-1)
    flat = (len(plan.configs), -1)
    return Curations(
        pairs,
        kept.reshape(flat)[:, pairs.slot],
        rank.astype(np.int32).reshape(len(rank), -1)[:, pairs.slot][plan.rank_of],
    )


def _best_first(score: Float64, pairs: Pairs) -> Int64:
    """(A, cells, width): places of each cell's pairs by falling `score` (A, P), ties by place."""
    table = np.full((len(score), pairs.cells * pairs.width), np.inf)
    table[:, pairs.slot] = -score
    return np.argsort(table.reshape(len(score), pairs.cells, -1), axis=-1, kind="stable")


def _ranked(values: Float64, order: Int64, pairs: Pairs) -> Float64:
    """(width, A, cells): the `values` (A, P) of each cell's pairs in `order`."""
    table = np.zeros((len(values), pairs.cells * pairs.width))
    table[:, pairs.slot] = values
    ranked = np.take_along_axis(table.reshape(order.shape), order, axis=-1)
    return np.ascontiguousarray(np.moveaxis(ranked, -1, 0))


def _literally(ballots: Ballots, pairs: Pairs, plan: Plan) -> Curations:
    """As `curate_many`, cell by cell: where votes are not finite, what sorting does is Python's."""
    bounds = np.searchsorted(ballots.cell, np.arange(ballots.cells + 1))
    places = zip(pairs.cell.tolist(), pairs.source.tolist(), strict=True)
    index = {place: pair for pair, place in enumerate(places)}
    pos = [ballots.tags[tag] for tag in ballots.tag]
    rank = np.full((len(plan.configs), len(pairs)), -1, np.int32)
    kept = np.zeros(rank.shape, bool)
    for g, config in enumerate(plan.configs):
        vote = votes(pos, ballots.confidence.tolist(), config)
        for cell in range(ballots.cells):
            part = slice(bounds[cell], bounds[cell + 1])
            found = curate(ballots.source[part].tolist(), vote[part], config)
            for place, source in enumerate(found.sources):
                rank[g, index[cell, source.unit]] = place
                kept[g, index[cell, source.unit]] = True
    return Curations(pairs, kept, rank)
