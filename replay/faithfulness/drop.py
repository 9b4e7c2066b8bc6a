"""Top-k drop: how much less likely the span is without its k best units, and without others."""

from __future__ import annotations

import numpy as np

from omnitrace.arrays import Bool
from replay.faithfulness.case import Case
from replay.faithfulness.recorded import Unanswerable

DRAWS = 8
"""Random sets that stand for chance."""


def drop(case: Case, k: int) -> float:
    """lp(all) - lp(all but the top k), in nats (ContextCite, Cohen-Wang et al. 2024, §4).

    With fewer than k units, all of them.
    """
    lp = case.logprob([case.top(0), case.top(k)])
    return float(lp[0] - lp[1])


def chance(case: Case, k: int) -> float:
    """The mean drop without other units, drawn, of about as many tokens as the top k have.

    A medium has many more tokens than a sentence, and taking much away always hurts. Sets whose
    mask was not recorded are left out; Unanswerable if no set was, or there are no other units.
    """
    top = case.top(k)
    drops = []
    for gone in similar_sets(case, top):
        try:
            lp = case.logprob([case.top(0), gone])
        except Unanswerable:
            continue
        drops.append(float(lp[0] - lp[1]))
    if not drops:
        raise Unanswerable("no other units of as many tokens were taken away")
    return float(np.mean(drops))


def similar_sets(case: Case, top: Bool) -> list[Bool]:
    """Different sets of other units, drawn, that each come as close as they can to the tokens of
    `top` and have between half and twice as many."""
    tokens = case.recorded.tokens
    wanted = int(tokens[top].sum())
    others = np.flatnonzero(case.named & ~top)
    rng = np.random.default_rng(len(top))
    found: dict[bytes, Bool] = {}
    for _ in range(DRAWS):
        order = rng.permutation(others)
        sums = np.cumsum(tokens[order])
        if not len(order):
            break
        best = int(np.abs(sums - wanted).argmin())
        if wanted / 2 <= sums[best] <= 2 * wanted:
            gone = np.zeros(len(top), bool)
            gone[order[: best + 1]] = True
            found.setdefault(gone.tobytes(), gone)
    return list(found.values())
