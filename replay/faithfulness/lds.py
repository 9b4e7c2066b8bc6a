"""LDS: does the sum of the scores that are left rank held-out masks as the model does?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from replay.faithfulness.case import Case
from replay.faithfulness.recorded import Unanswerable

Float64 = npt.NDArray[np.float64]


def lds(case: Case) -> float:
    """Spearman's ρ between f(m_i) and Σ_s τ_s m_is over held-out masks m_i ~ Bernoulli(½)^m.

    f is the log-odds of the span (`span_log_odds`), τ its scores. The linear datamodelling score
    of Park et al. 2023 (TRAK), as ContextCite uses it. Scores that are all equal rank nothing: 0.
    Unanswerable where masks are too few, or the span does not depend on them.
    """
    kept, odds = case.held_out()
    if np.ptp(odds) == 0:
        raise Unanswerable("its probability is the same under all masks")
    return spearman(odds, kept.astype(np.float64) @ np.where(case.named, case.scores, 0.0))


def spearman(x: Float64, y: Float64) -> float:
    """Rank correlation, ties at their mean rank; 0 where either is constant."""
    a, b = (_ranks(values) for values in (x, y))
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread else 0.0


def _ranks(values: Float64) -> Float64:
    """Mean ranks, centred."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    rank: Float64 = (last - (count - 1) / 2)[place] - (len(values) + 1) / 2
    return rank
