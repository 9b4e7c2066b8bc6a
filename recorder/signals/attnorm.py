"""`attnorm`: ‖A · v · W_O‖, attention weighted by what it carries, summed over heads, mean over
the layers that attend. A token that has much attention and a small value (an attention sink)
scores little.
"""

from __future__ import annotations

import torch

from recorder.signals.kinds import AttentionSignal, LayerRows


def _reduce(layer: LayerRows) -> torch.Tensor:
    assert layer.norms is not None, "declared below"
    return torch.einsum("bhqk,bhk->bqk", layer.rows, layer.norms) / layer.layers


SIGNAL = AttentionSignal(_reduce, needs_norms=True)
