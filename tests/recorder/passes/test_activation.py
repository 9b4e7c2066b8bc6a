"""Recorded activations are those of plain transformers' hidden states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recorder.passes import decoder as text_decoder
from recorder.passes.decoder import decoder_layers
from recorder.passes.generate import GenerationOptions, force, generate
from recorder.passes.observers import CaptureOptions
from tests.recorder.decoders import DECODERS, TextAdapter, drawn_ids, prepared

PROMPTS = [drawn_ids(37), drawn_ids(20, seed=1), drawn_ids(1, seed=2)]
OPTIONS = GenerationOptions(max_new_tokens=3)
NAMES = ["llama", "gemma2", "gemma3", "gemma3n", "gemma4", "olmo2", "lfm2", "nemotron_h"]


def literal(model: Any, ids: list[int]) -> torch.Tensor:
    """max over layers of max_d |x_d| over its median over tokens, from all hidden states."""
    inputs: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _, args, out: inputs.append(args[0]))
        for layer in model.model.layers
    ]
    with torch.no_grad():
        model(input_ids=torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    ratios = []
    for x in inputs[len(inputs) // 4 :]:
        active = x[0] if x.dim() == 4 else x  # the streams of AltUp
        peaks = active[0].abs().max(-1).values
        ratios.append(peaks / peaks.median())
    return torch.stack(ratios).max(0).values


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("piece", [2048, 11], ids=["whole", "in pieces"])
def test_activation_is_that_of_the_hidden_states(
    name: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = TextAdapter(DECODERS[name]())
    expected = [literal(adapter.model, ids) for ids in PROMPTS]
    monkeypatch.setattr(text_decoder, "PIECE", piece)
    prompts = [prepared(ids) for ids in PROMPTS]
    answers = generate(adapter, prompts, OPTIONS, CaptureOptions({}))
    given = force(adapter, prompts, [answer.ids for answer in answers], CaptureOptions({}))
    for answer, ids, wanted in zip([*answers, *given], PROMPTS * 2, expected * 2, strict=True):
        assert answer.activation is not None
        assert answer.activation.shape == (len(ids),)
        assert answer.activation.dtype == np.float32
        np.testing.assert_allclose(answer.activation, wanted, rtol=1e-4)


def test_a_massive_token_is_marked() -> None:
    model = DECODERS["llama"]()
    with torch.no_grad():
        model.get_input_embeddings().weight[PROMPTS[0][5], 7] = 400.0
    adapter = TextAdapter(model)
    [answer] = generate(adapter, [prepared(PROMPTS[0])], OPTIONS, CaptureOptions({}))
    assert answer.activation is not None
    massive = np.array(PROMPTS[0]) == PROMPTS[0][5]
    assert answer.activation[massive].min() > 20
    assert np.median(answer.activation[~massive]) < 2


def test_hooks_are_gone_when_the_prompt_has_passed() -> None:
    adapter = TextAdapter(DECODERS["llama"]())
    hooks: list[int] = []

    def count(step: int) -> bool:
        # private: torch has no other name for them
        hooks.append(sum(len(x._forward_pre_hooks) for x in decoder_layers(adapter.model)))
        return True

    generate(adapter, [prepared(PROMPTS[0])], OPTIONS, CaptureOptions({}), count)
    assert hooks == [0, 0, 0]


def test_a_decoder_whose_layers_are_not_known_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = TextAdapter(DECODERS["llama"]())
    monkeypatch.setattr("recorder.passes.activation.decoder_layers", lambda model: [])
    [answer] = generate(adapter, [prepared(PROMPTS[0])], OPTIONS, CaptureOptions({}))
    assert answer.activation is None
