"""Several prepared prompts as one left-padded batch of model input.

Knows the shapes and names that transformers gives to inputs; no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from omnitrace.errors import SampleError

MEDIA = ("pixel", "image", "video", "audio", "speech", "feature", "grid", "patch", "frame", "mel")
"""Parts of the names of inputs that hold media: their sizes may equal a prompt's by accident."""
FILLS = {"position_ids": 1}
"""What pads an input along the prompt; 0 where it has no entry, which is text among token types."""


def collate(prompts: Sequence[Mapping[str, Any]], filler: int) -> dict[str, Any]:
    """The inputs of all prompts; `filler` is the id that pads. A batch of one is left as it is.

    An input goes along the prompt, and is padded on the left, if in every prompt that has it its
    shape is (1, n) or (k, 1, n) of that prompt's n ids and its name is not that of a medium; a
    prompt that lacks it has zeros, or a whole attention mask. All other tensors hold media, one
    after another. Raises SampleError where one prompt has a setting that another has not.
    """
    if len(prompts) == 1:
        return dict(prompts[0])
    width = max(_length(prompt) for prompt in prompts)
    names = dict.fromkeys(name for prompt in prompts for name in prompt)
    return {name: _joined(name, prompts, width, filler) for name in names}


def fits(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two prompts can stand in one batch: equal settings, positions given or not."""
    settings = [
        {k: v for k, v in inputs.items() if not isinstance(v, torch.Tensor)} for inputs in (a, b)
    ]
    return settings[0] == settings[1] and ("position_ids" in a) == ("position_ids" in b)


def _length(prompt: Mapping[str, Any]) -> int:
    return int(prompt["input_ids"].shape[1])


def _joined(name: str, prompts: Sequence[Mapping[str, Any]], width: int, filler: int) -> Any:
    found = [prompt[name] for prompt in prompts if name in prompt]
    if not isinstance(found[0], torch.Tensor):
        if any(value != found[0] for value in found):
            raise SampleError(f"prompts with different '{name}' cannot stand in one batch.")
        return found[0]
    if name == "inputs_embeds":
        return torch.cat([pad(x, (0, 0, width - x.shape[1], 0)) for x in found])
    if not _is_along(name, prompts):
        longest = [max(sizes) for sizes in zip(*(x.shape[1:] for x in found), strict=True)]
        return torch.cat([_grown(x, longest) for x in found])
    fill = filler if name == "input_ids" else FILLS.get(name, 0)
    lengths = [_length(prompt) for prompt in prompts]
    absent = found[0].new_full((*found[0].shape[:-1], 1), int(name == "attention_mask"))
    rows = [
        prompt.get(name, absent.expand(*absent.shape[:-1], n))
        for prompt, n in zip(prompts, lengths, strict=True)
    ]
    return torch.cat([pad(x, (width - x.shape[-1], 0), value=fill) for x in rows], dim=-2)


def _is_along(name: str, prompts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an input has a value for each token of the prompt."""
    if any(word in name for word in MEDIA):
        return False
    shapes = [(prompt[name].shape, _length(prompt)) for prompt in prompts if name in prompt]
    return all(len(shape) in (2, 3) and shape[-2:] == (1, n) for shape, n in shapes)


def _grown(values: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Zeros after every axis but the first, up to `sizes`: mel frames of audio of any length."""
    after = [(0, size - own) for own, size in zip(values.shape[1:], sizes, strict=True)]
    return pad(values, [n for pair in reversed(after) for n in pair])
