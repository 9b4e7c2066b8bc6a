"""One span with a score for each unit: what every metric is a number of. Knows recorded rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from omnitrace.arrays import Bool, Float64, Int64
from replay.faithfulness.recorded import Recorded, Unanswerable, span_log_odds

SENSITIVE = 0.2
"""p(full) - p(empty) from which a token counts as one that needs the prompt."""


@dataclass(frozen=True)
class Case:
    """`scores` (m,) float64 of the units for the steps `counted` (T,) bool; `named` (m,) bool:
    units that may be named as sources."""

    recorded: Recorded
    scores: Float64
    counted: Bool
    named: Bool

    @cached_property
    def ranking(self) -> Int64:
        """The units that may be named, the highest score first; ties go to the lowest unit."""
        units = np.flatnonzero(self.named)
        order: Int64 = units[np.argsort(-self.scores[units], kind="stable")]
        return order

    def top(self, count: int) -> Bool:
        """(m,) the `count` best units."""
        chosen = np.zeros(len(self.scores), bool)
        chosen[self.ranking[:count]] = True
        return chosen

    def logprob(self, removed: Iterable[Bool]) -> Float64:
        """(r,) log-probability of the span with each set of units gone, in nats."""
        lp: Float64 = self.recorded.without(removed)[:, self.counted].sum(axis=1)
        return lp

    def probability(self, removed: Iterable[Bool]) -> Float64:
        """(r,) mean probability of the span's tokens with each set of units gone."""
        p: Float64 = np.exp(self.recorded.without(removed)[:, self.counted]).mean(axis=1)
        return p

    def held_out(self) -> tuple[Bool, Float64]:
        """Random masks for judging (r, m) and the span's log-odds under them (r,)."""
        kept, logprob = self.recorded.held_out()
        return kept, span_log_odds(logprob[:, self.counted])


def sensitive(recorded: Recorded) -> Bool:
    """(T,) tokens that are less likely by `SENSITIVE` when all but the request is gone: EAGLE's
    way to leave out what any language model would have written."""
    needs: Bool = np.exp(recorded.full) - np.exp(recorded.emptied()) > SENSITIVE
    return needs


def case_of(recorded: Recorded, scores: Float64, steps: Bool, named: Bool) -> Case:
    """The case of a span; Unanswerable if no step of it counts."""
    if not steps.any():
        raise Unanswerable("none of its tokens needs the prompt")
    return Case(recorded, scores, steps, named)
