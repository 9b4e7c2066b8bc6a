"""Flash attention is watched as sdpa is: on a double that attends as flash attention is told to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from omnitrace.errors import CommandError
from recorder.passes import capture
from recorder.passes.capture import confirm, install
from recorder.passes.generate import generate
from tests.recorder.families.checks import OPTIONS, wanted
from tests.recorder.families.models import FACT, load, sample, watched
from tests.recorder.passes.test_batch import assert_same


def flash_double(
    module: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float, **given: Any
) -> Any:
    """Takes (batch, keys) masks, and windows as a number."""
    # private: transformers has no other name for it
    assert module.config._attn_implementation == "flash_attention_2"
    keys = torch.arange(key.shape[2])
    last = keys[key.shape[2] - query.shape[2] :, None]
    allowed = (keys <= last) & (keys > last - (given.get("sliding_window") or 1 << 30))
    if mask is not None:
        assert mask.dim() == 2
        allowed = allowed & mask[:, None, None].bool() | (keys == last)
    repeat = query.shape[1] // key.shape[1]
    k, v = (x.repeat_interleave(repeat, dim=1) for x in (key, value))
    out = torch.nn.functional.scaled_dot_product_attention(
        query, k, v, attn_mask=allowed, scale=scaling
    )
    return out.transpose(1, 2).contiguous(), None


@pytest.mark.parametrize("family", ["llama3", "mistral", "qwen2_5_vl", "qwen3_vl"])
def test_flash_attention_is_watched_as_sdpa_is(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "flash_is_there", lambda: True)
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "flash_attention_2", flash_double)
    adapter = load(family)
    install(adapter.model, adapter.decoder, "flash_attention_2")
    confirm(adapter.model, adapter.layers)
    flash, sdpa = (
        generate(
            one,
            [one.prepare(sample(text)) for text in (FACT, "Who owns the lamp?")],
            OPTIONS,
            wanted(family),
        )
        for one in (adapter, watched(family)[0])
    )
    for a, b in zip(flash, sdpa, strict=True):
        assert_same(a, b)


def test_flash_attention_that_is_not_installed() -> None:
    adapter = load("llama3")
    with pytest.raises(CommandError, match="pip install flash-attn"):
        install(adapter.model, adapter.decoder, "flash_attention_2")
