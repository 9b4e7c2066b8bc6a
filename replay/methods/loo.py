"""Leave one out: how much less likely a span is without each unit. Causal, one call a unit."""

from __future__ import annotations

import numpy as np

from omnitrace.arrays import Float64
from replay.methods.task import AttributionTask


def scores(task: AttributionTask) -> Float64:
    """δ_j = lp(all) - lp(all but j), in nats, (K, m); Unanswerable where a row is missing."""
    recorded = task.recorded
    lost = recorded.full - recorded.without(np.eye(len(recorded), dtype=bool))
    return task.steps.astype(np.float64) @ lost.T


def calls(task: AttributionTask) -> int:
    """Passes of the model: one a unit, and one with all."""
    return len(task.units) + 1
