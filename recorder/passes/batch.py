"""Several prepared prompts as one left-padded batch of model input.

Knows the names that transformers gives to inputs; no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from omnitrace.errors import OmniTraceError

ALONG_PROMPT = {"input_ids", "attention_mask", "position_ids", "mm_token_type_ids"}
"""Inputs whose last axis is the prompt; all others hold media, one after another."""


def collate(prompts: Sequence[Mapping[str, Any]], filler: int) -> dict[str, Any]:
    """The inputs of all prompts; `filler` is the id that pads. A batch of one is left as it is.

    Raises OmniTraceError where one prompt has a setting that another has not.
    """
    if len(prompts) == 1:
        return dict(prompts[0])
    width = max(prompt["input_ids"].shape[1] for prompt in prompts)
    names = dict.fromkeys(name for prompt in prompts for name in prompt)
    return {name: _joined(name, prompts, width, filler) for name in names}


def fits(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two prompts can stand in one batch: equal settings, positions given or not."""
    settings = [
        {k: v for k, v in inputs.items() if not isinstance(v, torch.Tensor)} for inputs in (a, b)
    ]
    return settings[0] == settings[1] and ("position_ids" in a) == ("position_ids" in b)


def _joined(name: str, prompts: Sequence[Mapping[str, Any]], width: int, filler: int) -> Any:
    found = [prompt[name] for prompt in prompts if name in prompt]
    if not isinstance(found[0], torch.Tensor):
        if any(value != found[0] for value in found):
            raise OmniTraceError(f"prompts with different '{name}' cannot stand in one batch.")
        return found[0]
    if name == "inputs_embeds":
        return torch.cat([pad(x, (0, 0, width - x.shape[1], 0)) for x in found])
    if name not in ALONG_PROMPT:
        longest = [max(sizes) for sizes in zip(*(x.shape[1:] for x in found), strict=True)]
        return torch.cat([_grown(x, longest) for x in found])
    fill = {"input_ids": filler, "position_ids": 1}.get(name, 0)
    rows = [pad(x, (width - x.shape[-1], 0), value=fill) for x in found]
    return torch.cat(rows, dim=-2)


def _grown(values: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Zeros behind every axis but the first, up to `sizes`: mel frames of sounds of any length."""
    behind = [(0, size - own) for own, size in zip(values.shape[1:], sizes, strict=True)]
    return pad(values, [n for pair in reversed(behind) for n in pair])
