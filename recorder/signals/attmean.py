"""`attmean`: attention, mean over the layers that attend and their heads (DESIGN §5)."""

from __future__ import annotations

import torch

from recorder.signals.kinds import AttentionSignal, LayerRows


def _reduce(seen: LayerRows) -> torch.Tensor:
    return seen.rows.mean(dim=1) / seen.layers


SIGNAL = AttentionSignal(_reduce)
