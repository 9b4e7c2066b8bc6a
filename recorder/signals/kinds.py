"""The two kinds of signal, and what each is given of a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LayerRows:
    """Softmax rows of one attending layer for a batch: `rows` (batch, heads, queries, keys)
    float32.

    A row sums to 1, or to less where the model has attention sinks, whose share it leaves out.
    `last`: whether it is the last layer that attends; `layers`: how many attend. `norms` (batch,
    heads, keys) float32, for signals with `needs_norms` alone: ‖v W_O‖, the length of the vector
    that each key's value would add to the residual stream through each head.
    """

    rows: torch.Tensor
    last: bool
    layers: int
    norms: torch.Tensor | None = None


@dataclass(frozen=True)
class AttentionSignal:
    """`reduce` gives one layer's share, (batch, queries, keys), or None; the shares are summed.

    `by_layer`: they are kept apart instead, one row a layer. `needs_norms`: `reduce` reads the
    norms of `LayerRows`, which not every model allows (recorder/passes/capture.py, `Confirmed`).
    """

    reduce: Callable[[LayerRows], torch.Tensor | None]
    by_layer: bool = False
    needs_norms: bool = False


@dataclass(frozen=True)
class GradientSignal:
    """`reduce` takes the signed mean over heads of A ⊙ ∂z/∂A, (layers that attend, rows, keys)
    float32, to scores (rows, keys), or if `by_layer` to (layers that attend, rows, keys)."""

    reduce: Callable[[torch.Tensor], torch.Tensor]
    by_layer: bool = False
