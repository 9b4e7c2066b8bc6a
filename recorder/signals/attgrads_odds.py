"""`attgrads-odds`: max(0, mean over attending layers and heads of A ⊙ ∂y/∂A), y the log-odds of
the token.

As `attgrads`, of a quantity that a change of all logits alike, which changes no probability, leaves
as it is.
"""

from __future__ import annotations

import torch

from recorder.signals.kinds import GradientSignal


def _reduce(signed: torch.Tensor) -> torch.Tensor:
    return signed.mean(dim=0).clamp_min(0)


SIGNAL = GradientSignal(_reduce, log_odds=True)
