"""`attgrads-positive`: mean over attending layers and heads of max(0, A ⊙ ∂y/∂A), y the log-odds of
the token.

Each head's product is clamped for itself (Chefer et al., arXiv 2103.15679, equation 5), so that
heads of opposite sign do not cancel; a change of all logits alike, which changes no probability,
changes no log-odds either.
"""

from __future__ import annotations

import torch

from recorder.signals.kinds import GradientSignal


def _reduce(positive: torch.Tensor) -> torch.Tensor:
    return positive.mean(dim=0)


SIGNAL = GradientSignal(_reduce, log_odds=True, positive=True)
