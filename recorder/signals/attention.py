"""`attention`: mean over heads, one row an attending layer, from which any choice of layers is
made later."""

from __future__ import annotations

import torch

from recorder.signals.kinds import AttentionSignal, LayerRows


def _reduce(layer: LayerRows) -> torch.Tensor:
    return layer.mean


SIGNAL = AttentionSignal(_reduce, by_layer=True)
