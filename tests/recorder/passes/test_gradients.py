"""Gradients in one pass equal T full re-forwards in eager attention (the paper's release's way)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from omnitrace.trace import SignalRows
from recorder.config import TINY_OMNI
from recorder.inputs.samples import Sample
from recorder.models.adapter import describe_model
from recorder.models.qwen_omni import QwenOmni, load
from recorder.models.settings import Settings, Weights
from recorder.passes import gradients
from recorder.passes.generate import GenerationOptions
from recorder.passes.observers import CaptureOptions
from recorder.signals import GRADIENT_SIGNALS, SIGNALS
from tests.recorder.answers import EVERYTHING, answer_one
from tests.recorder.passes.test_capture import PROMPTS, rows_of

STEPS = 5
RELATIVE = 1e-5
"""Of the step's largest product of attention and gradient, float32."""


@pytest.fixture(scope="module")
def eager() -> Any:
    """The same weights in eager attention, in the decoder alone."""
    model = load(describe_model(str(TINY_OMNI)), Weights("float32", "cpu"), Settings()).model
    model.set_attn_implementation({"text_config": "eager"})
    for parameter in model.model.language_model.embed_tokens.parameters():
        parameter.requires_grad_()
    return model


def reference(
    eager: Any, inputs: dict[str, Any], said: list[int]
) -> dict[tuple[bool, bool], torch.Tensor]:
    """A ⊙ ∂y/∂A at the last query, mean over heads, (layers, keys), for the last of `said`, from
    one full forward over the prompt and what was said before; by whether y is the log-odds, not the
    logit, and whether products are clamped at 0 first."""
    device = inputs["input_ids"].device
    before = torch.tensor([said[:-1]], dtype=torch.long, device=device)
    given = dict(inputs)
    given["input_ids"] = torch.cat([inputs["input_ids"], before], dim=1)
    given["attention_mask"] = torch.ones_like(given["input_ids"])
    if "position_ids" in inputs:
        places = inputs["position_ids"]
        new = places[..., -1:] + 1 + torch.arange(before.shape[1], device=device)
        given["position_ids"] = torch.cat([places, new], dim=-1)
    eager.model.rope_deltas = None
    out = eager(**given, output_attentions=True, use_cache=False)
    logits, token = out.logits[0, -1], said[-1]
    others = torch.cat([logits[:token], logits[token + 1 :]])
    found = {}
    for log_odds, y in enumerate((logits[token], logits[token] - others.logsumexp(0))):
        gradient = torch.autograd.grad(y, out.attentions, retain_graph=True)
        products = [
            (a * g)[0, :, -1].detach() for a, g in zip(out.attentions, gradient, strict=True)
        ]
        found[bool(log_odds), False] = torch.stack([each.mean(0) for each in products])
        found[bool(log_odds), True] = torch.stack([each.clamp(min=0).mean(0) for each in products])
    return found


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("block", [1 << 26, 1], ids=["one block", "a row at a time"])
def test_gradients_equal_full_forwards(
    kind: str,
    block: int,
    adapter: QwenOmni,
    eager: Any,
    make_sample: Callable[..., Sample],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gradients, "MAX_SCORES", block)
    prepared = adapter.prepare(make_sample(*PROMPTS[kind]))
    wanted = CaptureOptions({}, GRADIENT_SIGNALS)
    answer = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=STEPS), wanted)
    n, said = prepared.prompt.n, answer.ids.tolist()
    assert said
    reduced = {name: s for name, s in GRADIENT_SIGNALS.items() if not s.by_layer}
    rows = {name: rows_of(answer.signals[name], n, len(said)) for name in reduced}
    layers = answer.signals["gradients"].values.reshape(adapter.layers, -1)
    by_layer = [rows_of(SignalRows(values), n, len(said)) for values in layers]
    for t in range(len(said)):
        every = reference(eager, dict(prepared.inputs), said[: t + 1])
        signed = every[False, False]
        assert signed.shape[1] == n + t
        bound = RELATIVE * float(signed.abs().max())
        assert bound > 0
        found = np.stack([layer[t] for layer in by_layer])
        np.testing.assert_allclose(found, signed, atol=bound, rtol=0)
        for name, signal in reduced.items():
            products = every[signal.log_odds, signal.positive]
            bound = RELATIVE * max(float(signed.abs().max()), float(products.abs().max()))
            expected = signal.reduce(products).numpy()
            assert rows[name][t].shape == expected.shape
            np.testing.assert_allclose(rows[name][t], expected, atol=bound, rtol=0)


def test_recording_gradients_changes_nothing_else(
    adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS["images"]))
    options = GenerationOptions(max_new_tokens=STEPS)
    without = answer_one(adapter, prepared, options)
    beside = answer_one(adapter, prepared, options, EVERYTHING)
    assert beside.ids.tolist() == without.ids.tolist()
    for name in SIGNALS:
        np.testing.assert_array_equal(beside.signals[name].values, without.signals[name].values)
