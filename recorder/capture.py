"""Attention rows beside the unchanged fast model: sdpa computes the output, we look on.

`install` gives the text decoder an attention function that is sdpa's; while a `Capture` is active
it also computes, in float32, the softmax row of the last query from the very queries and keys that
sdpa gets: rotary positions, grouped heads, windows and masks included. Gradients have their own
attention (recorder/gradients.py). Knows transformers' attention interface; no model, no generation
loop, no store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from recorder import gradients
from recorder.signals import LayerAttention, Reduce

NAME = "omnitrace"
BLOCK = 256
MAX_SCORES = 1 << 26
"""Elements of one block of prompt rows, over all heads: 256 MB of float32."""

_active: ContextVar[Capture | None] = ContextVar("active_capture", default=None)


def install(model: Any, decoder: str) -> None:
    """Let the decoder (the configuration key of its text model) attend through us."""
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation({decoder: NAME})


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if (tape := gradients.current_tape()) is not None:
        return gradients.attend(tape, query, key, value, attention_mask, scale), None
    capture = _active.get()
    if capture is not None:
        capture.observe(int(module.layer_idx), query, key, attention_mask, scale)
    output: tuple[torch.Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, **kwargs
    )
    return output


def attention_rows(
    query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> torch.Tensor:
    """softmax(q kᵀ · scaling) in float32: (batch, heads, q, d), (batch, kv heads, k, d) to
    (batch, heads, q, k).

    `mask`, broadcast to the result's shape, is added, or where it is boolean lets through.
    """
    batch, heads, queries, width = query.shape
    groups = key.shape[1]
    # Heads that share keys stand side by side as queries, so that keys are never repeated.
    q = query.float().reshape(batch, groups, heads // groups * queries, width)
    scores = (q @ key.float().transpose(-1, -2)) * scaling
    scores = scores.reshape(batch, heads, queries, key.shape[2])
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        scores = scores + mask.float()
    return scores.softmax(dim=-1)


class Capture:
    """Rows of one sample while it is generated, batch size 1.

    `take()` after each forward pass that saw the whole prompt gives the row of the step that this
    pass predicts. `prompt_mean` (n,) per signal is ready after the prompt has passed.
    """

    def __init__(self, prompt: int, layers: int, signals: Mapping[str, Reduce]) -> None:
        self.prompt = prompt
        self.layers = layers
        self.signals = signals
        self.seen = 0
        self.sums: dict[str, torch.Tensor] = {}
        self.prompt_sums: dict[str, torch.Tensor] = {}

    @contextmanager
    def active(self) -> Iterator[Capture]:
        """While inside, every forward of the decoder is observed."""
        token = _active.set(self)
        try:
            yield self
        finally:
            _active.reset(token)

    def observe(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        mask: torch.Tensor | None,
        scaling: float,
    ) -> None:
        """Look at one layer's queries and keys, on their way to sdpa."""
        if layer == 0:
            self.seen += query.shape[2]
            self.sums.clear()
        if self.seen <= self.prompt:
            self._add_prompt(layer, query, key, mask, scaling)
        if self.seen >= self.prompt:
            last = None if mask is None else mask[..., -1:, :]
            rows = attention_rows(query[:, :, -1:], key, last, scaling)[0]
            self._add(self.sums, LayerAttention(rows, layer, self.layers), key.shape[2], self.seen)

    def take(self) -> dict[str, torch.Tensor]:
        """The last pass's row of each signal, (keys,) float32, moved to the CPU."""
        return {name: row[0].cpu() for name, row in self.sums.items()}

    def prompt_mean(self) -> dict[str, torch.Tensor]:
        """The mean over all prompt queries, (n,) float32, of each signal (on the CPU)."""
        return {name: (row[0] / self.prompt).cpu() for name, row in self.prompt_sums.items()}

    def _add_prompt(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        mask: torch.Tensor | None,
        scaling: float,
    ) -> None:
        queries, keys = query.shape[2], key.shape[2]
        block = max(1, min(BLOCK, MAX_SCORES // (query.shape[1] * keys)))
        for start in range(0, queries, block):
            end = min(start + block, queries)
            reach = keys - queries + end
            if mask is None:
                allowed = torch.ones(end - start, reach, dtype=torch.bool, device=key.device)
                allowed = allowed.tril(reach - (end - start))
            else:
                allowed = mask[..., start:end, :reach]
            rows = attention_rows(query[:, :, start:end], key[:, :, :reach], allowed, scaling)[0]
            summed = LayerAttention(rows.sum(dim=1, keepdim=True), layer, self.layers)
            self._add(self.prompt_sums, summed, keys, self.prompt)

    def _add(
        self, sums: dict[str, torch.Tensor], attention: LayerAttention, keys: int, width: int
    ) -> None:
        """Add each signal's share to sums of `width` tokens.

        A layer with a sliding window may hand over only the last `keys` of the tokens seen.
        """
        first = self.seen - keys
        for name, reduce in self.signals.items():
            share = reduce(attention)
            if share is not None:
                if name not in sums:
                    sums[name] = share.new_zeros(1, width)
                sums[name][:, first : first + share.shape[1]] += share
