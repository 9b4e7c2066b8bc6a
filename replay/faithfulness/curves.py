"""Insertion and deletion: the span's probability as units go or come, the best first."""

from __future__ import annotations

import numpy as np

from replay.faithfulness.case import Case
from replay.faithfulness.recorded import Unanswerable


def deletion(case: Case) -> float:
    """The area under the mean probability of the span's tokens while units are taken away, the
    best first, over the share of tokens that are gone. Less is better (Petsiuk et al. 2018)."""
    order = range(len(case.ranking) + 1)
    return _area(case, [case.top(k) for k in order])


def insertion(case: Case) -> float:
    """The same while units come, the best first, to a prompt without any. More is better."""
    order = range(len(case.ranking) + 1)
    return _area(case, [case.named & ~case.top(k) for k in order])


def _area(case: Case, removed: list[np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]) -> float:
    if len(removed) < 2:
        raise Unanswerable("there are no units to take away")
    tokens = case.recorded.tokens
    x = np.array([tokens[gone].sum() for gone in removed]) / tokens[case.named].sum()
    return float(np.trapezoid(case.probability(removed), np.abs(x - x[0])))
