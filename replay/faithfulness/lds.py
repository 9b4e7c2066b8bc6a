"""LDS: does the sum of the scores that are left rank held-out masks as the model does?"""

from __future__ import annotations

import numpy as np

from replay.faithfulness.case import Case
from replay.faithfulness.recorded import Unanswerable
from replay.stats import spearman


def lds(case: Case) -> float:
    """Spearman's ρ between f(m_i) and Σ_s τ_s m_is over held-out masks m_i ~ Bernoulli(½)^m.

    f is the log-odds of the span (`span_log_odds`), τ its scores. The linear datamodelling score
    of Park et al. 2023 (TRAK), as ContextCite uses it. Scores that are all equal rank nothing: 0.
    Unanswerable where masks are too few, or the span does not depend on them.
    """
    kept, odds = case.held_out()
    if np.ptp(odds) == 0:
        raise Unanswerable("its probability is the same under all masks")
    guess = kept.astype(np.float64) @ np.where(case.named, case.scores, 0.0)
    return spearman(odds, guess, constant=0.0)
