"""`attfull`: attention, mean over the heads of the layers that see the whole prompt.

These are the layers without a window or chunks, by their type in the model's configuration, also
where the prompt is shorter than the window; where every layer has a window, all of them.
"""

from __future__ import annotations

import torch

from recorder.signals.kinds import AttentionSignal, LayerRows


def _reduce(layer: LayerRows) -> torch.Tensor | None:
    return layer.mean / layer.whole_layers if layer.whole else None


SIGNAL = AttentionSignal(_reduce)
