"""How the next token is chosen, each drawn one from its sample's own random numbers.

A sample's draws depend on the seed and on itself, not on who else is in its batch. Knows logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)


@dataclass(frozen=True)
class Options:
    """How the next token is chosen: temperature 0 is greedy; `seed`, `top_p` and `top_k` (0: all)
    matter only above it."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def config(self, model: Any, eos_ids: Sequence[int]) -> Any:
        """The GenerationConfig; all else is the checkpoint's own."""
        make: Any = GenerationConfig
        return make(
            max_new_tokens=self.max_new_tokens,
            eos_token_id=list(eos_ids),
            pad_token_id=filler(model, eos_ids),
            do_sample=False,
        )


def filler(model: Any, eos_ids: Sequence[int]) -> int:
    """The id that pads: the model's, or else one that ends a response."""
    pad = model.generation_config.pad_token_id
    return min(eos_ids) if pad is None else int(pad)


class Draw(LogitsProcessor):
    """Adds Gumbel noise to the warped logits: their argmax is then a draw from their softmax."""

    def __init__(self, options: Options, batch: int) -> None:
        warpers: list[Any] = [TemperatureLogitsWarper(options.temperature)]
        if options.top_k:
            warpers.append(TopKLogitsWarper(options.top_k))
        if options.top_p < 1:
            warpers.append(TopPLogitsWarper(options.top_p))
        self.warpers = warpers
        self.generators = [torch.Generator().manual_seed(options.seed) for _ in range(batch)]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:
        warped: Any = scores.float()
        for warper in self.warpers:
            warped = warper(input_ids, warped)
        size = scores.shape[-1]
        drawn = [torch.rand(size, generator=g, dtype=torch.float64) for g in self.generators]
        noise = -torch.log(-torch.log(torch.stack(drawn).clamp_min(1e-300)))
        return warped + noise.to(warped.device, torch.float32)
