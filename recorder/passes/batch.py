"""Batches: which prompts can stand in one, how many the memory holds, and their joint input.

Knows the shapes and names that transformers gives to inputs, and its configurations; no model type.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from omnitrace.errors import CommandError, SampleError
from recorder.passes.decoder import attending_layers

MEDIA = ("pixel", "image", "video", "audio", "speech", "feature", "grid", "patch", "frame", "mel")
"""Parts of the names of inputs that hold media: their sizes may equal a prompt's by accident."""
FILLS = {"position_ids": 1}
"""What pads an input along the prompt; 0 where it has no entry, which is text among token types."""

CPU_ALLOCATOR = "DefaultCPUAllocator"


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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch could not allocate, on a GPU or (a plain RuntimeError) on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or CPU_ALLOCATOR in str(error)


def batch_limit(text: str) -> int | None:
    """The number of samples at a time; None for `auto`; CommandError for anything else."""
    if text == "auto":
        return None
    if text.isdecimal() and 0 < int(text) <= 4096:
        return int(text)
    raise CommandError(f"--batch-size {text}: write a number from 1 to 4096, or auto.")


def tokens_that_fit(model: Any) -> int:
    """About how many tokens of prompts pass the model at once in half of what memory is left.

    Counts what a token leaves in the cache, twice, and what passes through one layer.
    """
    text = model.config.get_text_config()
    attending = set(attending_layers(model.config))
    each = list(getattr(text, "per_layer_config", None) or [text] * text.num_hidden_layers)
    cached = sum(_cached(config) for layer, config in enumerate(each) if layer in attending)
    passing = 16 * text.hidden_size + 3 * max(map(_wide, each))
    a_token = (2 * cached + passing) * model.dtype.itemsize
    return max(1, int(free_bytes(model.device) // (2 * a_token)))


def _cached(config: Any) -> int:
    """Elements of keys and values of one token in one layer."""
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return 2 * int(getattr(config, "num_key_value_heads", None) or heads) * int(width)


def _wide(config: Any) -> int:
    """Inner width of the widest feed-forward block: some configurations list one a layer."""
    width = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return int(width) if isinstance(width, int) else max(width)


def free_bytes(device: torch.device) -> int:
    """What the device has left."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
