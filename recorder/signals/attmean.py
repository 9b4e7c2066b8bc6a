"""`attmean`: attention, mean over the layers that attend and their heads."""

from __future__ import annotations

import torch

from recorder.signals.kinds import AttentionSignal, LayerRows


def _reduce(layer: LayerRows) -> torch.Tensor:
    return layer.mean / layer.layers


SIGNAL = AttentionSignal(_reduce)
