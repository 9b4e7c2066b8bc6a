"""The configuration's own signal: the mass of each unit over the steps of a span."""

from __future__ import annotations

import numpy as np

from omnitrace.arrays import Bool, Float64
from replay.methods.question import Question


def masses(question: Question) -> Float64:
    """τ = Σ_{t in span} M[t, j] (paper §3.2): (K, m)."""
    return question.steps.astype(np.float64) @ question.attribution.mass


def votes(question: Question) -> Float64:
    """τ = Σ w_t over the steps of the span that are traced to unit j: (K, m)."""
    found, steps = question.attribution, np.arange(question.trace.T)
    weights = np.zeros((len(steps), len(question.units)))
    traced = found.unit >= 0
    weights[steps[traced], found.unit[traced]] = found.vote[traced]
    return question.steps.astype(np.float64) @ weights


def curated(question: Question, scores: Float64) -> Bool:
    """(K, m): the sources that the configuration's curation keeps, whatever the `scores`."""
    chosen = np.zeros((len(question.spans), len(question.units)), bool)
    for row, span in zip(chosen, question.attribution.spans, strict=True):
        row[[source.unit for source in span.sources]] = True
    return chosen
