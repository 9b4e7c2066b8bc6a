"""`attvisible`: attention, for each key the mean over the heads of the layers that can see it.

A mean over all layers favours recent keys where some layers have a window, for these have no share
in keys beyond it. A row may sum to more than 1.
"""

from __future__ import annotations

import torch

from recorder.signals.kinds import AttentionSignal, LayerRows


def _reduce(layer: LayerRows) -> torch.Tensor:
    return layer.mean


SIGNAL = AttentionSignal(_reduce, usual=False, over_visible=True)
