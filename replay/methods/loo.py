"""Leave one out: how much less likely a span is without each unit. Causal, one call a unit."""

from __future__ import annotations

import numpy as np

from omnitrace.arrays import Float64
from replay.methods.question import Question


def scores(question: Question) -> Float64:
    """δ_j = lp(all) - lp(all but j), in nats, (K, m); Unanswerable where a row is missing."""
    recorded = question.recorded
    lost = recorded.full - recorded.without(np.eye(len(recorded), dtype=bool))
    return question.steps.astype(np.float64) @ lost.T


def calls(question: Question) -> int:
    """Passes of the model: one a unit, and one with all."""
    return len(question.units) + 1
