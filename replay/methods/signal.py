"""The configuration's own signal: the mass of each unit over the steps of a span."""

from __future__ import annotations

import numpy as np

from omnitrace.arrays import Bool, Float64
from replay.methods.task import AttributionTask


def masses(task: AttributionTask) -> Float64:
    """τ = Σ_{t in span} M[t, j] (paper §3.2): (K, m)."""
    return task.steps.astype(np.float64) @ task.attribution.mass


def votes(task: AttributionTask) -> Float64:
    """τ = Σ w_t over the steps of the span that are traced to unit j: (K, m)."""
    found, steps = task.attribution, np.arange(task.trace.T)
    weights = np.zeros((len(steps), len(task.units)))
    traced = found.unit >= 0
    weights[steps[traced], found.unit[traced]] = found.vote[traced]
    return task.steps.astype(np.float64) @ weights


def curated(task: AttributionTask, scores: Float64) -> Bool:
    """(K, m): the sources that the configuration's curation keeps, whatever the `scores`."""
    chosen = np.zeros((len(task.spans), len(task.units)), bool)
    for row, span in zip(chosen, task.attribution.spans, strict=True):
        row[[source.unit for source in span.sources]] = True
    return chosen
