"""Attribution methods: anything that scores the units of a prompt for each span of an answer.

One file a method, one registry: what is registered competes in `omnitrace faithful`, `compare` and
`benchmark` (docs/faithfulness.md has an example). Methods read recordings; no model runs here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from omnitrace.arrays import Bool, Float64
from omnitrace.errors import CommandError, nearest
from replay.attribution import Attribution
from replay.curate import Source
from replay.methods import chance, contextcite, loo, signal
from replay.methods.task import AttributionTask

__all__ = ["METHODS", "AttributionTask", "Method", "attribution_of", "method"]


Sources = Callable[[AttributionTask, Float64], Bool]
"""Which units a method names, (K, m) bool, given its scores."""

SHARE, NATS = 0.5, 1.0
"""Of a span's largest score, and of log-probability, from which a unit is one of its sources.

Chosen on the split `choose` (benchmarks/thresholds.py), in the middle of a plateau. With no least
at all `loo` found more there where either of two units is enough, by differences of 0.003 nats,
and named a cause for every sentence that has none: it keeps the nat.
"""


def naming(share: float, least: float = 0.0) -> Sources:
    """Units with a score above 0, at least `share` of the span's largest, and at least `least`."""

    def chosen(task: AttributionTask, scores: Float64) -> Bool:
        best = scores.max(axis=1, initial=0.0, keepdims=True)
        named: Bool = (scores > 0) & (scores >= share * best) & (scores >= least)
        return named

    return chosen


large = naming(SHARE)
certain = naming(SHARE, NATS)
"""Less than a nat is no cause, and a span may have none."""


@dataclass(frozen=True)
class Method:
    """An entry of the registry.

    - `scores`: a task → (K, m) float64, larger where a unit counts more for a span;
    - `sources`: which units are named, given the scores: (K, m) bool;
    - `calls`: passes of the model a sample, beyond the recording of the answer itself.
    """

    help: str
    scores: Callable[[AttributionTask], Float64]
    sources: Sources = large
    calls: Callable[[AttributionTask], int] = lambda task: 0


METHODS: dict[str, Method] = {
    "signal": Method("the masses of the configuration's signal", signal.masses, signal.curated),
    "votes": Method("the votes of the configuration's mapping", signal.votes, signal.curated),
    "loo": Method("what leaving each unit out costs", loo.scores, certain, loo.calls),
    "contextcite": Method(
        "a sparse linear model of random masks", contextcite.scores, certain, contextcite.calls
    ),
    "random": Method("units at random", chance.random),
    "length": Method("the longest units", chance.length),
}


def method(name: str) -> Method:
    """The method of that name; CommandError naming the legal ones otherwise."""
    if name not in METHODS:
        raise CommandError(f"no method '{name}': {nearest(name, list(METHODS))}.")
    return METHODS[name]


def attribution_of(task: AttributionTask, scores: Float64, chosen: Bool) -> Attribution:
    """Scores and chosen sources, (K, m) each, as an attribution: for tables, judges and reports.

    A source's mass is its share of the chosen scores. Steps stay traced as the configuration has
    it.
    """
    found = task.attribution
    spans = [
        replace(span, sources=_sources(row, picked & ~task.units.unnamed), dropped=())
        for span, row, picked in zip(found.spans, scores, chosen, strict=True)
    ]
    return replace(found, spans=tuple(spans))


def _sources(scores: Float64, chosen: Bool) -> tuple[Source, ...]:
    units = np.flatnonzero(chosen)
    total = float(scores[units].sum())
    shares = [(float(scores[unit]) / total if total > 0 else 0.0, int(unit)) for unit in units]
    return tuple(
        Source(unit, share, share, share) for share, unit in sorted(shares, key=lambda s: -s[0])
    )
