"""How much memory there is, and how to tell that there was not enough."""

from __future__ import annotations

import os
from typing import Any

import torch

from omnitrace.errors import CommandError
from recorder.passes.decoder import attending_layers

CPU_ALLOCATOR = "DefaultCPUAllocator"


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
