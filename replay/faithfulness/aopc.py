"""Comprehensiveness and sufficiency (ERASER), averaged over shares of the units, and normalised."""

from __future__ import annotations

import math

import numpy as np

from omnitrace.arrays import Bool, Float64, Int64
from replay.faithfulness.case import Case
from replay.faithfulness.recorded import Unanswerable

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
MOST_UNITS = 10
"""Of which every set can be looked up to normalise."""


def comprehensiveness(case: Case) -> float:
    """AOPC: the mean over q of lp(all) - lp(all but the top q of the units), in nats.

    q are 1, 5, 10, 20 and 50 % of the units, at least one (DeYoung et al. 2020, §4.2, on
    log-probabilities). More is better.
    """
    sets = [case.top(k) for k in counts(case)]
    lp = case.logprob([case.top(0), *sets])
    return float((lp[0] - lp[1:]).mean())


def sufficiency(case: Case) -> float:
    """The mean over q of lp(all) - lp(only the top q of the units), in nats. Less is better.

    Units that may not be named, such as the request, stay.
    """
    sets = [case.named & ~case.top(k) for k in counts(case)]
    lp = case.logprob([case.top(0), *sets])
    return float((lp[0] - lp[1:]).mean())


def normalised(case: Case) -> float:
    """NAOPC: comprehensiveness on a scale from the worst ranking of the units, 0, to the best, 1.

    Exact, from every set of units of the sizes that count (2408.08137: raw values of different
    prompts and models do not compare). Unanswerable for more than ten units.
    """
    units = np.flatnonzero(case.named)
    if len(units) > MOST_UNITS:
        raise Unanswerable(f"of more than {MOST_UNITS} units not every ranking can be tried")
    sizes = counts(case)
    removed = _every_set(len(case.named), units)
    lp = case.logprob(removed)
    drops = lp[0] - lp
    low, high = (_extreme(drops, len(units), sizes, sign) for sign in (-1.0, 1.0))
    if high == low:
        raise Unanswerable("every ranking of its units is worth the same")
    return (comprehensiveness(case) - low) / (high - low)


def counts(case: Case) -> list[int]:
    """How many units each share is."""
    return [max(1, math.ceil(q * len(case.ranking) - 1e-9)) for q in SHARES]


def _every_set(size: int, units: Int64) -> list[Bool]:
    """Every set of the `units`, number b having those whose bit is set in b."""
    sets = np.zeros((1 << len(units), size), bool)
    numbers = np.arange(len(sets))
    for bit, unit in enumerate(units):
        sets[:, unit] = numbers >> bit & 1
    return list(sets)


def _extreme(drops: Float64, units: int, sizes: list[int], sign: float) -> float:
    """The largest (`sign` 1) or smallest mean drop of any ranking: sets grow unit by unit."""
    weight = np.bincount(sizes, minlength=units + 1)
    best = np.full(len(drops), -np.inf)
    best[0] = 0.0
    for number in range(1, len(drops)):
        before = [best[number & ~(1 << bit)] for bit in range(units) if number >> bit & 1]
        best[number] = max(before) + sign * weight[number.bit_count()] * drops[number]
    return sign * float(best[-1]) / len(sizes)
