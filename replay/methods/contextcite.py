"""ContextCite's surrogate: a sparse linear model of a span's log-odds over random masks.

Fitted to rows that are not held out, on the CPU. Needs scikit-learn, the extra [faithful].
"""

from __future__ import annotations

import warnings

import numpy as np

from omnitrace.arrays import Bool, Float64
from omnitrace.errors import extra
from replay.faithfulness.recorded import span_log_odds
from replay.methods.task import AttributionTask

ALPHA = 0.01
"""Of the Lasso, on log-odds a token (Cohen-Wang et al. 2024, §3)."""


def scores(task: AttributionTask) -> Float64:
    """The weight of each unit in the surrogate of each span, (K, m), in nats of log-odds."""
    kept, logprob = task.recorded.fitting()
    rows = [
        surrogate(kept, span_log_odds(logprob[:, steps]), int(steps.sum()))
        if steps.any()
        else np.zeros(kept.shape[1])
        for steps in task.steps
    ]
    return np.array(rows).reshape(len(rows), kept.shape[1])


def calls(task: AttributionTask) -> int:
    """Passes of the model: one a row that was fitted."""
    return len(task.recorded.fitting()[0])


def surrogate(kept: Bool, log_odds: Float64, tokens: int) -> Float64:
    """(m,) weights w of f(mask) ≈ w · mask + b, from r rows `kept` (r, m) and `log_odds` (r,).

    min ‖f/tokens - standardised(mask) · v - c‖² / 2r + α ‖v‖₁; w is v in units of the mask and
    times the span's number of tokens, so that α means the same for spans of any length.
    """
    with extra("faithful", "the surrogate needs"):
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import Lasso
    spread = kept.std(axis=0)
    spread[spread == 0] = 1.0
    with warnings.catch_warnings():
        # With few rows of many units it stops close to the optimum, which is near enough.
        warnings.simplefilter("ignore", ConvergenceWarning)
        lasso = Lasso(alpha=ALPHA).fit((kept - kept.mean(axis=0)) / spread, log_odds / tokens)
    weights: Float64 = lasso.coef_ / spread * tokens
    return weights
