"""The signals: how attention rows, layer by layer, reduce to one score row a step.

A new signal that reads attention as it passes is one function here and one line in `SIGNALS`.
Knows tensors; not where they come from nor where they go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LayerAttention:
    """Softmax rows of one decoder layer: `rows` (heads, queries, keys) float32."""

    rows: torch.Tensor
    layer: int
    layers: int


Reduce = Callable[[LayerAttention], torch.Tensor | None]
"""One layer's share of a signal, (queries, keys) float32, or None; the shares are summed."""


def attmean(attention: LayerAttention) -> torch.Tensor:
    """Mean over layers and heads."""
    return attention.rows.mean(dim=0) / attention.layers


def rawatt(attention: LayerAttention) -> torch.Tensor | None:
    """Mean over the heads of the last layer."""
    last = attention.layer == attention.layers - 1
    return attention.rows.mean(dim=0) if last else None


SIGNALS: Mapping[str, Reduce] = {"attmean": attmean, "rawatt": rawatt}
