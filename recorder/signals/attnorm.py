"""`attnorm`: ‖A · v · W_O‖, attention weighted by what it carries, summed over heads, mean over
the layers that attend. A token that is looked at but whose value says nothing (an attention sink)
scores little.
"""

from __future__ import annotations

import torch

from recorder.signals.kinds import AttentionSignal, LayerRows


def _reduce(seen: LayerRows) -> torch.Tensor:
    return torch.einsum("bhqk,bhk->bqk", seen.rows, seen.norms()) / seen.layers


SIGNAL = AttentionSignal(_reduce, weighs=True)
