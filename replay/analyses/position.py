"""Positional bias: where in the prompt the curated sources lie (paper §5.1, Fig. 3a)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from omnitrace.arrays import Float64
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.analyses.figure import ACCENT, INK, QUIET, new_axes, share_axes
from replay.analyses.result import Result, Table
from replay.attribution import Attribution
from replay.stats import Estimate, pooled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 100
"""The curves are known at 0, 1/STEPS, …, 1."""


@dataclass(frozen=True)
class Position(Result):
    """The positions of curated sources, a source's being that of its middle token, in (0, 1).

    - `at` (101,): positions; `sources`, `votes`, `random` (101,): the share that lies at or before
      each: of sources, of sources weighted by their share of the votes, and of as many units drawn
      at random from the same prompts, which is what no preference would look like;
    - `mean`, `mean_votes`, `mean_random`: mean positions; `shift` = mean - mean_random.
    """

    title: ClassVar[str] = "Where in the prompt the sources lie"

    at: Float64
    sources: Float64
    votes: Float64
    random: Float64
    mean: Estimate
    mean_votes: Estimate
    mean_random: Estimate
    shift: Estimate
    count: int

    @property
    def empty(self) -> bool:
        return not self.count

    def table(self) -> Table:
        named = (
            ("sources", self.mean),
            ("sources, by their votes", self.mean_votes),
            ("units at random", self.mean_random),
            ("sources - random", self.shift),
        )
        rows = [(name, str(estimate)) for name, estimate in named]
        return Table(("mean position", "of the prompt (95 %)>"), tuple(rows))

    def draw(self, figure: Figure) -> None:
        axes = new_axes(figure, self.title)
        share_axes(axes, "position in the prompt", "share of sources at or before it")
        axes.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls=":", label="uniform")
        axes.plot(self.at, self.random, color=QUIET, label="units at random")
        axes.plot(self.at, self.votes, color=ACCENT, ls="--", label="sources, by votes")
        axes.plot(self.at, self.sources, color=ACCENT, label="sources")
        axes.legend(loc="lower right", labelcolor=INK)


@dataclass(frozen=True)
class _Places:
    """Of one sample: positions and votes of its k sources, positions of its m units."""

    sources: Float64
    votes: Float64
    units: Float64


def position(attributed: Iterable[tuple[Trace, Attribution]]) -> Position:
    """Positions of all curated sources of all spans; intervals by bootstrap over samples."""
    places = [_places(trace, attribution) for trace, attribution in attributed]
    places = [sample for sample in places if len(sample.sources)]
    number = np.array([len(sample.sources) for sample in places], float)
    votes = np.array([sample.votes.sum() for sample in places])
    total = np.array([sample.sources.sum() for sample in places])
    weighted = np.array([sample.sources @ sample.votes for sample in places])
    by_chance = np.array([len(sample.sources) * sample.units.mean() for sample in places])
    at = np.linspace(0, 1, STEPS + 1)
    return Position(
        at=at,
        sources=_ecdf(at, [(s.sources, np.ones(len(s.sources))) for s in places]),
        votes=_ecdf(at, [(s.sources, s.votes) for s in places]),
        random=_ecdf(at, [(s.units, _evenly(s)) for s in places]),
        mean=pooled(total, number),
        mean_votes=pooled(weighted, votes),
        mean_random=pooled(by_chance, number),
        shift=pooled(total - by_chance, number),
        count=int(number.sum()),
    )


def middles(units: Units, n: int) -> Float64:
    """(m,): where in the prompt of n tokens each unit's middle token lies, in (0, 1)."""
    tokens = [np.arange(*span) for span in units.ranges.tolist()]
    own = [
        np.concatenate(tokens[first:last])
        for first, last in zip(units.offset[:-1], units.offset[1:], strict=True)
    ]
    return np.array([np.median(one) + 0.5 for one in own]) / n


def _places(trace: Trace, attribution: Attribution) -> _Places:
    units = middles(attribution.units, trace.n)
    kept = [source for span in attribution.spans for source in span.sources]
    return _Places(
        sources=units[[source.unit for source in kept]],
        votes=np.array([source.mass for source in kept], float),
        units=units,
    )


def _evenly(sample: _Places) -> Float64:
    """The sources' number, shared evenly by all units."""
    return np.full(len(sample.units), len(sample.sources) / len(sample.units))


def _ecdf(at: Float64, weighted: list[tuple[Float64, Float64]]) -> Float64:
    """(101,): the share of the weights whose positions are at most `at`."""
    if not weighted:
        return np.full(len(at), np.nan)
    places, weights = (np.concatenate(column) for column in zip(*weighted, strict=True))
    order = np.argsort(places)
    reached = np.concatenate([[0.0], np.cumsum(weights[order])])
    below: Float64 = reached[np.searchsorted(places[order], at, side="right")] / reached[-1]
    return below
