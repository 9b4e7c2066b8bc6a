"""`attgrads-last`: max(0, mean over heads of A ⊙ ∂z_t/∂A) of the last layer that attends,
as the paper's release has it."""

from __future__ import annotations

import torch

from recorder.signals.kinds import GradientSignal


def _reduce(signed: torch.Tensor) -> torch.Tensor:
    return signed[-1].clamp_min(0)


SIGNAL = GradientSignal(_reduce)
