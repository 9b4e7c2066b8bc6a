"""`rawatt`: attention of the last layer that attends, mean over its heads."""

from __future__ import annotations

import torch

from recorder.signals.kinds import AttentionSignal, LayerRows


def _reduce(layer: LayerRows) -> torch.Tensor | None:
    return layer.mean if layer.last else None


SIGNAL = AttentionSignal(_reduce)
