"""Attributions with their golds: which spans share steps with which sentences."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from omnitrace.arrays import Bool
from omnitrace.trace import Trace
from replay.attribution import Attribution
from replay.evaluation import Gold

Judged: TypeAlias = tuple[Trace, Attribution, Gold]


def shared_steps(attribution: Attribution, gold: Gold) -> Bool:
    """(S, K) bool: which spans share a step with which sentences of the gold."""
    steps = np.array([span.steps for span in attribution.spans], np.int32).reshape(-1, 2)
    before: Bool = steps[:, :1] < gold.steps[:, 1]
    after: Bool = gold.steps[:, 0] < steps[:, 1:]
    return before & after


def truth_of_spans(attribution: Attribution, gold: Gold) -> tuple[Bool, Bool]:
    """(S, L) bool: the labels that are true of each span; (S,) bool: spans judged completely.

    A span is known if every sentence that it shares a step with was judged, and there is one.
    """
    shared = shared_steps(attribution, gold).astype(float)
    true: Bool = shared @ gold.true.astype(float) > 0
    judged = shared @ gold.judged.astype(float)
    known: Bool = (judged > 0) & (judged == shared.sum(axis=1))
    return true, known
