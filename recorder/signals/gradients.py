"""`gradients`: mean over heads of A ⊙ ∂z_t/∂A, signed, one row an attending layer."""

from __future__ import annotations

import torch

from recorder.signals.kinds import GradientSignal


def _reduce(signed: torch.Tensor) -> torch.Tensor:
    return signed


SIGNAL = GradientSignal(_reduce, by_layer=True)
