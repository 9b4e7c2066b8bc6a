"""`attgrads`: max(0, mean over attending layers and heads of A ⊙ ∂z_t/∂A)."""

from __future__ import annotations

import torch

from recorder.signals.kinds import GradientSignal


def _reduce(signed: torch.Tensor) -> torch.Tensor:
    return signed.mean(dim=0).clamp_min(0)


SIGNAL = GradientSignal(_reduce)
