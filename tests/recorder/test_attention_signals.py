"""Signals that tell layers apart by what they see equal literal means of eager attention."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from recorder.passes.capture import install
from recorder.passes.decoder import whole_layers
from recorder.passes.generate import Answer, GenerationOptions, generate
from recorder.passes.observers import CaptureOptions
from recorder.signals import SIGNALS
from tests.recorder.decoders import DECODERS, WINDOW, TextAdapter, drawn_ids, prepared
from tests.recorder.passes.test_capture import rows_of

PROMPT, STEPS = drawn_ids(37), 4
NAMES = ["llama", "mistral", "gemma2", "gemma3", "gemma3n", "cohere2", "gpt_oss", "llama4", "lfm2"]
CHUNK = 16
"""Of the toy of Llama 4."""
WHOLE = {
    "gemma2": (1, 3),
    "gemma3": (1, 3),
    "gemma3n": (1, 3),
    "cohere2": (1, 3),
    "gpt_oss": (1, 3),
    "llama4": (3,),
}
"""Positions among the attending layers of those without a window; all, of the others."""


@cache
def answered(name: str) -> list[Answer]:
    """The prompt beside a shorter one, in a batch."""
    adapter = TextAdapter(DECODERS[name]())
    install(adapter.model, "")
    names = ("attmean", "attfull", "attvisible")
    capture = CaptureOptions({signal: SIGNALS[signal] for signal in names})
    prompts = [prepared(PROMPT), prepared(drawn_ids(20, seed=1))]
    return generate(adapter, prompts, GenerationOptions(max_new_tokens=STEPS), capture)


@cache
def attention(name: str) -> torch.Tensor:
    """(layers, queries, keys): the mean over heads of eager attention, of prompt and answer."""
    model: Any = DECODERS[name]()
    model.set_attn_implementation("eager")
    ids = torch.tensor([PROMPT + answered(name)[0].ids.tolist()])
    with torch.no_grad():
        found = model(input_ids=ids, output_attentions=True, use_cache=False).attentions
    return torch.stack([each[0].mean(0) for each in found if each is not None])


def visible(name: str, layers: int, query: int) -> torch.Tensor:
    """(layers, query + 1) bool: which keys the layer lets the query see, worked out by hand."""
    keys = torch.arange(query + 1)
    near = keys >= query // CHUNK * CHUNK if name == "llama4" else keys > query - WINDOW
    whole = WHOLE.get(name, () if name == "mistral" else tuple(range(layers)))
    return torch.stack([torch.ones_like(near) if i in whole else near for i in range(layers)])


@pytest.mark.parametrize("name", NAMES)
def test_rows_tell_layers_apart_by_what_they_see(name: str) -> None:
    signals, every = answered(name)[0].signals, attention(name)
    full, reach = (rows_of(signals[s], len(PROMPT), STEPS) for s in ("attfull", "attvisible"))
    whole = list(WHOLE.get(name, range(len(every))))
    for t in range(STEPS):
        query = len(PROMPT) - 1 + t
        rows, seen = every[:, query, : query + 1], visible(name, len(every), query)
        np.testing.assert_allclose(full[t], rows[whole].mean(0), atol=1e-6, rtol=0)
        expected = rows.sum(0) / seen.sum(0).clamp_min(1)
        assert rows[~seen].abs().max() == 0 if bool((~seen).any()) else len(whole) == len(every)
        np.testing.assert_allclose(reach[t], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["gemma3", "llama"])
def test_the_prompt_mean_is_of_the_same_layers(name: str) -> None:
    signals, every = answered(name)[0].signals, attention(name)
    whole, n = list(WHOLE.get(name, range(len(every)))), len(PROMPT)
    first = signals["attfull"].first_row
    assert first is not None
    np.testing.assert_allclose(first, every[whole, :n, :n].mean((0, 1)), atol=1e-6, rtol=0)
    assert signals["attvisible"].first_row is None


def test_without_windows_both_are_the_mean_over_layers() -> None:
    signals = answered("llama")[0].signals
    np.testing.assert_array_equal(signals["attfull"].values, signals["attmean"].values)
    values = signals["attvisible"].values
    np.testing.assert_allclose(values, signals["attmean"].values, atol=1e-7, rtol=0)


def test_which_layers_see_the_whole_prompt() -> None:
    for name in NAMES:
        config = DECODERS[name]().config
        found = whole_layers(config)
        if name in WHOLE:
            assert found == WHOLE[name]
    assert whole_layers(DECODERS["mistral"]().config) == (0, 1, 2, 3)
    assert whole_layers(DECODERS["lfm2"]().config) == (1, 3)
