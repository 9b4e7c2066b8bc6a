"""Recorded flow is the literal one: every part of every residual stream, one by one."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

from omnitrace.errors import CommandError
from recorder.passes import flow
from recorder.passes.capture import install
from recorder.passes.flow import branches
from recorder.passes.generate import Answer, GenerationOptions, force, generate
from recorder.passes.observers import CaptureOptions
from recorder.signals import FLOW_SIGNALS
from replay.mass import rollout
from replay.rows import Rows
from tests.recorder.decoders import DECODERS, TextAdapter, drawn_ids, prepared
from tests.recorder.passes.test_capture import rows_of

PROMPTS, STEPS = [drawn_ids(23), drawn_ids(11, seed=1)], 3
OPTIONS = GenerationOptions(max_new_tokens=STEPS)
ADDED = {
    "llama": "post_attention_layernorm",
    "qwen3": "post_attention_layernorm",
    "mistral": "post_attention_layernorm",
    "gpt_oss": "post_attention_layernorm",
    "gemma2": "pre_feedforward_layernorm",
    "gemma3": "pre_feedforward_layernorm",
    "olmo2": "mlp",
    "lfm2": "ffn_norm",
}
"""Toy → the part of a layer whose input is the residual stream after attention."""
SINGLE = {"gpt_oss"}
"""Whose experts have no float64."""


@cache
def answered(name: str) -> list[Answer]:
    adapter = TextAdapter(DECODERS[name]())
    install(adapter.model, "")
    capture = CaptureOptions({}, flows=FLOW_SIGNALS)
    return generate(adapter, [prepared(ids) for ids in PROMPTS], OPTIONS, capture)


def literal(name: str, ids: list[int]) -> torch.Tensor:
    """The flow of the last of `ids`, (keys,), by the definition; in float64 where the toy can."""
    model, seen = DECODERS[name](), dict[str, dict[int, Any]]()
    if name not in SINGLE:
        model.double()
    for kind in ("rows", "values", "input", "after"):
        seen[kind] = {}

    def spy(module: Any, query: Any, key: Any, value: Any, mask: Any, **given: Any) -> Any:
        eager = sys.modules[type(module).__module__].eager_attention_forward
        out, rows = eager(module, query, key, value, mask, **given)
        seen["rows"][module.layer_idx], seen["values"][module.layer_idx] = rows[0], value[0]
        return out, rows

    AttentionInterface.register("spy", spy)
    AttentionMaskInterface.register("spy", ALL_MASK_ATTENTION_FUNCTIONS["eager"])
    model.set_attn_implementation("spy")

    def keep(kind: str, place: int) -> Any:
        def read(module: Any, args: Any, given: Any) -> None:
            value = args[0] if args else given["hidden_states"]
            seen[kind][place] = value.reshape(1, -1, value.shape[-1])[0, -1]

        return read

    for place, layer in enumerate(model.model.layers):
        layer.register_forward_pre_hook(keep("input", place), with_kwargs=True)
        getattr(layer, ADDED[name]).register_forward_pre_hook(
            keep("after", place), with_kwargs=True
        )
    with torch.no_grad():
        model(input_ids=torch.tensor([ids]), use_cache=False)
    every = [edges(model.model.layers[place], seen, place) for place in seen["rows"]]
    return torch.stack(every).mean(0)


def edges(layer: Any, seen: dict[str, dict[int, Any]], place: int) -> torch.Tensor:
    """One layer's, in which the attention's part of the stream is scaled as a whole to what was
    added."""
    rows, values = seen["rows"][place][:, -1], seen["values"][place]
    attention = layer.self_attn
    output = attention.o_proj if hasattr(attention, "o_proj") else attention.out_proj
    width = values.shape[-1]
    parts = torch.stack(
        [
            rows[h, j]
            * (
                output.weight[:, h * width : (h + 1) * width]
                @ values[h * len(values) // len(rows), j]
            )
            for h in range(len(rows))
            for j in range(rows.shape[1])
        ]
    ).detach()
    bias = torch.zeros_like(parts[0]) if output.bias is None else output.bias.detach()
    residual, x = seen["input"][place], seen["after"][place]
    scale = (x - residual) / (parts.sum(0) + bias)
    parts, residual = parts * scale, residual + scale * bias
    near = (x.abs().sum() - (x - parts).abs().sum(1)).clamp(min=0)
    own = (x.abs().sum() - (x - residual).abs().sum()).clamp(min=0)
    found: torch.Tensor = near.reshape(len(rows), -1).sum(0) / (near.sum() + own)
    return found


@pytest.mark.parametrize("name", ADDED)
def test_flow_is_that_of_every_part_one_by_one(name: str) -> None:
    for ids, answer in zip(PROMPTS, answered(name), strict=True):
        rows = rows_of(answer.signals["flow"], len(ids), STEPS)
        for t in range(STEPS):
            expected = literal(name, ids + answer.ids[:t].tolist())
            assert 0 < float(expected.sum()) <= 1 + 1e-9
            np.testing.assert_allclose(rows[t], expected, atol=2e-5, rtol=0)
        first = answer.signals["flow"].first_row
        assert first is not None
        np.testing.assert_array_equal(first, rows[0])


def test_what_is_left_out_is_within_the_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    within = answered("llama")[0].signals["flow"].values
    monkeypatch.setattr(flow, "TOLERANCE", 0.0)
    exact = answered.__wrapped__("llama")[0].signals["flow"].values
    assert np.abs(within - exact).max() <= 1e-5
    monkeypatch.setattr(flow, "TOLERANCE", 1e9)  # nothing is corrected
    assert np.abs(answered.__wrapped__("llama")[0].signals["flow"].values - exact).max() > 1e-3


@pytest.mark.parametrize(("name", "value"), [("MAX_ELEMENTS", 64), ("MAX_SCORES", 1)])
def test_blocks_change_nothing(name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answered("gemma3")
    monkeypatch.setattr(flow, name, value)
    for one, other in zip(whole, answered.__wrapped__("gemma3"), strict=True):
        a, b = one.signals["flow"].values, other.signals["flow"].values
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_given_answer_leaves_the_same_flow() -> None:
    adapter = TextAdapter(DECODERS["gemma3"]())
    install(adapter.model, "")
    responses = [answer.ids for answer in answered("gemma3")]
    prompts = [prepared(ids) for ids in PROMPTS]
    given = force(adapter, prompts, responses, CaptureOptions({}, flows=FLOW_SIGNALS))
    for one, other in zip(answered("gemma3"), given, strict=True):
        a, b = one.signals["flow"].values, other.signals["flow"].values
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("name", ["granite", "cohere2", "gemma3n", "falcon_h1"])
def test_a_stream_that_is_not_known_is_refused(name: str) -> None:
    adapter = TextAdapter(DECODERS[name]())
    install(adapter.model, "")
    with pytest.raises(CommandError, match=r"'flow' cannot be recorded: .* --signals"):
        branches(adapter.model)


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_flow_can_be_followed_through_the_answer(name: str) -> None:
    """GIVEN recorded flow WHEN it is rolled out THEN prompt tokens hold all of each row, at most 1,
    and no less than they had."""
    n = len(PROMPTS[0])
    rows = Rows(answered(name)[0].signals["flow"].values, n, STEPS)
    dense = rows.dense().astype(np.float64)
    followed = rollout(dense[:, :n], rows, 1.0)
    np.testing.assert_allclose(followed.sum(1), dense.sum(1), rtol=1e-6)
    assert followed.sum(1).max() <= 1 + 1e-6
    assert (followed >= dense[:, :n]).all()
    assert (followed[-1] > dense[-1, :n]).any()
