"""Curation of many spans under many configurations at once, equal to `replay.curate` bit for bit.

Every sum is added in the order of the paper's listing, and every power is the one that Python's
`**` takes, so that a source which lies exactly on a threshold, or ties with another, is kept or
dropped as the listing does. Knows no trace.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from omnitrace.arrays import Bool, Float64, Int32, Int64
from replay.batch.vote_table import MassTable, VoteTable
from replay.config import CurationConfig
from replay.curate import curate, votes

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Pairs:
    """P pairs of a cell and a source that has a vote in it, by cell, then by first vote.

    `cell`, `source` (P,) int32; `first` (cells + 1,) int64: cell k has the pairs from `first[k]`
    up to `first[k + 1]`; `of_vote` (N,) int64: the pair of each vote.
    """

    cell: Int32
    source: Int32
    first: Int64
    of_vote: Int64

    def __len__(self) -> int:
        return len(self.cell)


@dataclass(frozen=True)
class Curations:
    """What G configurations keep of P pairs: `kept` (G, P) bool.

    `best` (width, A, cells): the pairs of each cell, best first, in each of the A ways to rank;
    places beyond a cell's pairs mean nothing. `rank_of` (G,): a configuration's way to rank.
    """

    pairs: Pairs
    kept: Bool
    best: Int64
    rank_of: Int64

    def sources(self, config: int, cell: int) -> list[int]:
        """Ŝ of one cell under one configuration, best first."""
        count = int(self.pairs.first[cell + 1] - self.pairs.first[cell])
        ranked = self.best[:count, self.rank_of[config], cell]
        kept: list[int] = self.pairs.source[ranked[self.kept[config, ranked]]].tolist()
        return kept


class CurationPlan:
    """G curation configurations, grouped once so that equal parts of them are computed once.

    V distinct ways to vote, A distinct ways to rank (a vote and an alpha), G ways to cut.
    """

    def __init__(self, configs: Sequence[CurationConfig]) -> None:
        self.configs = tuple(configs)
        weights = [(tuple(sorted(c.pos_weights.items())), c.pos_other) for c in self.configs]
        ways = [(w, c.gamma) for w, c in zip(weights, self.configs, strict=True)]
        ways_to_vote, vote_of = _distinct(ways)
        ways_to_rank, self.rank_of = _distinct(
            [(v, c.alpha) for v, c in zip(vote_of.tolist(), self.configs, strict=True)]
        )
        all_weights, self.weights_of = _distinct([weights for weights, _ in ways_to_vote])
        self.weights = [(dict(named), other) for named, other in all_weights]
        self.gammas, self.gamma_of = _distinct([gamma for _, gamma in ways_to_vote])
        self.vote_of = np.array([vote for vote, _ in ways_to_rank], np.intp)
        self.alpha = np.array([alpha for _, alpha in ways_to_rank])[:, None]
        self.p_min, self.run_min, self.coverage = (
            np.array([getattr(c, name) for c in self.configs])[:, None]
            for name in ("p_min", "run_min", "coverage")
        )

    def votes(self, table: VoteTable | MassTable) -> Float64:
        """(V, N) float64: w_t = POS weight · max(c_t, 0)^γ, as `replay.curate.votes`; of a mass
        table what the units of its cells get."""
        if isinstance(table, MassTable):
            return np.array([table.votes(w, other, gamma) for w, other, gamma in self._ways()])
        base = np.maximum(table.confidence.astype(np.float64), 0.0)
        # float_power takes C's pow, as Python does; numpy's power has its own, an ulp off.
        powers = np.stack([np.float_power(base, gamma) for gamma in self.gammas])
        weights = np.array([[w.get(tag, other) for tag in table.tags] for w, other in self.weights])
        votes: Float64 = weights[:, table.tag][self.weights_of] * powers[self.gamma_of]
        return votes

    def _ways(self) -> Iterator[tuple[Mapping[str, float], float, float]]:
        """The POS weights, the weight of others and the gamma of each way to vote."""
        for number, gamma in zip(self.weights_of.tolist(), self.gamma_of.tolist(), strict=True):
            weights, other = self.weights[number]
            yield weights, other, self.gammas[gamma]


def _distinct(keys: Sequence[K]) -> tuple[list[K], npt.NDArray[np.intp]]:
    """The distinct keys in order of first appearance, and which of them each key is."""
    number: dict[K, int] = {}
    of = [number.setdefault(key, len(number)) for key in keys]
    return list(number), np.array(of, np.intp)


def curate_many(table: VoteTable | MassTable, plan: CurationPlan) -> Curations:
    """What each configuration keeps in each cell: `replay.curate.curate`, batched."""
    pairs = pair_up(table)
    if not len(pairs):
        kept = np.empty((len(plan.configs), 0), bool)
        best = np.empty((0, len(plan.alpha), table.cells), np.int64)
        return Curations(pairs, kept, best, plan.rank_of)
    vote = plan.votes(table)
    total = totals(vote, table)
    if not np.isfinite(total).all():
        return _one_by_one(table, pairs, plan)
    share, run = (part[plan.vote_of] for part in _shares(vote, total, pairs))
    best = _best_first(plan.alpha * share + (1.0 - plan.alpha) * run, pairs)
    kept = _kept(share, run, best, (total > 0)[plan.vote_of], pairs, plan)
    return Curations(pairs, kept, best, plan.rank_of)


def pair_up(table: VoteTable | MassTable) -> Pairs:
    """The pairs that have votes."""
    count = len(table)
    low = int(table.source.min(initial=0))
    units = int(table.source.max(initial=-1)) + 1 - low
    key = table.cell.astype(np.int64) * units + table.source - low
    earliest = np.full(table.cells * units, count)
    np.minimum.at(earliest, key, np.arange(count))
    first = earliest[key]
    opens = first == np.arange(count)
    cell = table.cell[opens]
    return Pairs(
        cell=cell,
        source=table.source[opens],
        first=np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=table.cells))]),
        of_vote=(np.cumsum(opens) - 1)[first],
    )


def totals(vote: Float64, table: VoteTable | MassTable) -> Float64:
    """(V, cells): the sum of each cell's votes by Python's `sum`, compensated from 3.12 on."""
    if sys.version_info >= (3, 12):
        bounds = np.searchsorted(table.cell, np.arange(table.cells + 1)).tolist()
        return np.array([[sum(row[a:b]) for a, b in pairwise(bounds)] for row in vote.tolist()])
    return _sums(vote, table.cell, table.cells)


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
    longest = np.zeros((len(vote), len(pairs)))
    flat = pairs.of_vote[breaks] + len(pairs) * np.arange(len(vote))[:, None]
    np.maximum.at(longest.reshape(-1), flat.reshape(-1), runs.reshape(-1))
    whole = np.where(total > 0, total, 1.0)[:, pairs.cell]
    return _sums(vote, pairs.of_vote, len(pairs)) / whole, longest / whole


def _best_first(score: Float64, pairs: Pairs) -> Int64:
    """(width, A, cells): each cell's pairs by falling `score` (A, P), ties by first vote."""
    ways, cells = len(score), len(pairs.first) - 1
    width = int(np.diff(pairs.first).max())
    place = np.arange(len(pairs)) - pairs.first[pairs.cell]
    table = np.full((ways, cells * width), np.inf)
    table[:, pairs.cell * width + place] = -score
    order = np.argsort(table.reshape(ways, cells, width), axis=-1, kind="stable")
    best: Int64 = np.minimum(np.moveaxis(order, -1, 0) + pairs.first[:-1], len(pairs) - 1)
    return best


def _kept(
    share: Float64, run: Float64, best: Int64, voted: Bool, pairs: Pairs, plan: CurationPlan
) -> Bool:
    """(G, P): the pairs of each cell that are kept, best first, until enough is covered.

    `share`, `run` (A, P); `voted` (A, cells): where any vote was cast.
    """
    flat = best + len(pairs) * np.arange(len(share))[:, None]
    share, run = (values.take(flat)[:, plan.rank_of] for values in (share, run))
    strong = (share >= plan.p_min) | (run >= plan.run_min)
    taken = np.zeros(share.shape, bool)
    going = voted[plan.rank_of]
    covered, some = np.zeros(going.shape), np.zeros(going.shape, bool)
    for place, left in enumerate(np.diff(pairs.first) > np.arange(len(best))[:, None]):
        going &= left & ~(some & (covered >= plan.coverage))
        if not going.any():
            break
        taken[place] = going & strong[place]
        some |= taken[place]
        covered += np.where(taken[place], share[place], 0.0)
    kept = np.zeros((len(plan.configs), len(pairs)), bool)
    at, config, cell = np.nonzero(taken)
    kept[config, best[at, plan.rank_of[config], cell]] = True
    return kept


def _votes_of(table: VoteTable | MassTable, config: CurationConfig) -> list[float]:
    """The votes of one configuration, as `replay.attribution` computes them."""
    if isinstance(table, MassTable):
        own: list[float] = table.votes(config.pos_weights, config.pos_other, config.gamma).tolist()
        return own
    return votes([table.tags[tag] for tag in table.tag], table.confidence.tolist(), config)


def _one_by_one(table: VoteTable | MassTable, pairs: Pairs, plan: CurationPlan) -> Curations:
    """As `curate_many`, cell by cell: where votes are not finite, what sorting does is Python's."""
    bounds = np.searchsorted(table.cell, np.arange(table.cells + 1)).tolist()
    kept = np.zeros((len(plan.configs), len(pairs)), bool)
    best = np.zeros((int(np.diff(pairs.first).max()), len(plan.configs), table.cells), np.int64)
    for g, config in enumerate(plan.configs):
        vote = _votes_of(table, config)
        for cell, (start, end) in enumerate(pairwise(bounds)):
            sources = table.source[start:end].tolist()
            found = curate(sources, vote[start:end], config)
            ranked = [s.unit for s in found.sources] + [d.unit for d in found.dropped]
            numbers = [pairs.of_vote[start + sources.index(unit)] for unit in ranked]
            best[: len(numbers), g, cell] = numbers
            kept[g, numbers[: len(found.sources)]] = True
    return Curations(pairs, kept, best, np.arange(len(plan.configs)))
