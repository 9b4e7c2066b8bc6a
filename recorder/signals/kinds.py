"""The kinds of signal, and what each is given of a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch


@dataclass(frozen=True)
class LayerRows:
    """Softmax rows of one attending layer for a batch: `rows` (batch, heads, queries, keys)
    float32.

    A row sums to 1, or to less where the model has attention sinks, whose share it leaves out.
    `last`: whether it is the last layer that attends; `layers`: how many attend. `whole_layers`:
    how many of these see the whole prompt, by their type; `whole`: whether this one does. `norms`
    (batch, heads, keys) float32, for signals with `needs_norms` alone: ‖v W_O‖, the length of the
    vector that each key's value would add to the residual stream through each head.
    """

    rows: torch.Tensor
    last: bool
    layers: int
    whole: bool
    whole_layers: int
    norms: torch.Tensor | None = None

    @cached_property
    def mean(self) -> torch.Tensor:
        """The mean over heads, (batch, queries, keys), computed once for all signals."""
        return self.rows.mean(dim=1)


@dataclass(frozen=True)
class AttentionSignal:
    """`reduce` gives one layer's share, (batch, queries, keys), or None; the shares are summed.

    `by_layer`: they are kept apart instead, one row a layer. `over_visible`: the sum is divided,
    for each query and key, by the number of attending layers that let the query see the key; such a
    signal has no mean over prompt queries. `needs_norms`: `reduce` reads the norms of `LayerRows`,
    which not every model allows (recorder/passes/capture.py, `Confirmed`). `usual`: whether it is
    recorded where no signals are named.
    """

    reduce: Callable[[LayerRows], torch.Tensor | None]
    usual: bool = True
    by_layer: bool = False
    over_visible: bool = False
    needs_norms: bool = False

    @property
    def has_prompt_mean(self) -> bool:
        """Whether it has a mean over all prompt queries, the other reading of step 0."""
        return not (self.by_layer or self.over_visible)


@dataclass(frozen=True)
class GradientSignal:
    """`reduce` takes the mean over heads of A ⊙ ∂y/∂A, (layers that attend, rows, keys) float32, to
    scores (rows, keys), or if `by_layer` to (layers that attend, rows, keys).

    y is the logit z_t of the step's token or, if `log_odds`, z_t - logsumexp over v ≠ t of z_v.
    `positive`: what is below 0 is 0 before the mean over heads. `usual` as of `AttentionSignal`.
    """

    reduce: Callable[[torch.Tensor], torch.Tensor]
    usual: bool = True
    by_layer: bool = False
    log_odds: bool = False
    positive: bool = False


@dataclass(frozen=True)
class FlowSignal:
    """`reduce` takes each layer's edges, (layers that attend, rows, keys) float32, to scores (rows,
    keys). `usual` as of `AttentionSignal`."""

    reduce: Callable[[torch.Tensor], torch.Tensor]
    usual: bool = True

    @property
    def by_layer(self) -> bool:
        """None is kept layer by layer."""
        return False
