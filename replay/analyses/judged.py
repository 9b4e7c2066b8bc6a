"""Attributions with their golds: which spans share steps with which sentences."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from omnitrace.arrays import Bool, Float64
from omnitrace.trace import Trace
from replay.attribution import Attribution
from replay.evaluation import Gold
from replay.evaluation.gold import shared_steps

Judged: TypeAlias = tuple[Trace, Attribution, Gold]


def shared_with_gold(attribution: Attribution, gold: Gold) -> Float64:
    """(S, K): 1 for the spans that share a step with a sentence of the gold, else 0."""
    steps = np.array([span.steps for span in attribution.spans], np.int32).reshape(-1, 2)
    return shared_steps(steps, gold.steps).astype(float)


def truth_of_spans(attribution: Attribution, gold: Gold) -> tuple[Bool, Bool]:
    """(S, L) bool: the labels that are true of each span; (S,) bool: spans judged completely.

    A span is known if every sentence that it shares a step with was judged, and there is one.
    """
    shared = shared_with_gold(attribution, gold)
    true: Bool = shared @ gold.true.astype(float) > 0
    judged = shared @ gold.judged.astype(float)
    known: Bool = (judged > 0) & (judged == shared.sum(axis=1))
    return true, known
