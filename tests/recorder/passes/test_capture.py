"""Captured rows are the eager softmax rows, and the watched model says what the plain one says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import transformers

from omnitrace.trace import SignalRows
from recorder.config import TINY_OMNI
from recorder.inputs.samples import Sample
from recorder.models.adapter import describe_model
from recorder.models.qwen_omni import QwenOmni, load
from recorder.models.settings import Settings, Weights
from recorder.passes import observers
from recorder.passes.capture import install, watching
from recorder.passes.generate import GenerationOptions
from recorder.passes.layer_pass import attention_scores, softmax_rows
from recorder.passes.observers import CaptureOptions, Layers, Lengths, Norms, PromptMean, Rows
from recorder.signals import SIGNALS
from recorder.signals.kinds import AttentionSignal, LayerRows
from tests.recorder.answers import answer_one

STEPS = 12
PROMPTS = {
    "text": ("The parcel weighs seven kilos. What does the parcel weigh?",),
    "images": ("Look:", "image:photo.png", " and ", "image:tall.jpg", "What do they show?"),
    "audio": ("audio:speech.wav", "What is heard in the first recording?"),
    "film with sound": ("video:film.mp4", "What moves in the first film?"),
    "silent film": ("video:silent.mp4", "What moves in the first film?"),
    "mixed": (
        "Anna owns the lamp.", "video:silent.mp4", "audio:speech.wav", "image:photo.png",
        "video:film.mp4", "Who owns the lamp?",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> Any:
    """The same weights, untouched by us: transformers' own sdpa."""
    return load(describe_model(str(TINY_OMNI)), Weights("float32", "cpu"), Settings()).model


@pytest.fixture(scope="module")
def eager() -> Any:
    """The same weights in eager attention, in the decoder alone."""
    model = load(describe_model(str(TINY_OMNI)), Weights("float32", "cpu"), Settings()).model
    model.set_attn_implementation({"text_config": "eager"})
    return model


def attentions_of(eager: Any, inputs: dict[str, Any], steps: int) -> list[torch.Tensor]:
    """For each step (layers, heads, queries, keys) of what the eager model computed."""
    out = eager.generate(
        **inputs,
        max_new_tokens=max(steps, 1),
        do_sample=False,
        output_attentions=True,
        return_dict_in_generate=True,
    )
    return [torch.cat(layers) for layers in out.attentions]


def rows_of(rows: SignalRows, n: int, steps: int) -> list[npt.NDArray[np.float32]]:
    return np.split(rows.values, np.cumsum([n + t for t in range(steps)]))[:steps]


@pytest.mark.parametrize("kind", PROMPTS)
def test_rows_equal_eager_attention(
    kind: str, adapter: QwenOmni, eager: Any, make_sample: Callable[..., Sample]
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS[kind]))
    answer = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=STEPS))
    n, steps = prepared.prompt.n, len(answer.ids)
    attentions = attentions_of(eager, dict(prepared.inputs), steps)
    means = rows_of(answer.signals["attmean"], n, steps)
    lasts = rows_of(answer.signals["rawatt"], n, steps)
    assert steps > 0
    for t, attention in enumerate(attentions[:steps]):
        assert means[t].shape == (n + t,)
        assert means[t].sum() == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(means[t], attention[:, :, -1].mean((0, 1)), atol=1e-6, rtol=0)
        np.testing.assert_allclose(lasts[t], attention[-1, :, -1].mean(0), atol=1e-6, rtol=0)
    for name, expected in {
        "attmean": attentions[0].mean((0, 1, 2)),
        "rawatt": attentions[0][-1].mean((0, 1)),
    }.items():
        first = answer.signals[name].first_row
        assert first is not None
        assert first.sum() == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(first, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", PROMPTS)
def test_tokens_equal_plain_generation(
    kind: str, adapter: QwenOmni, plain: Any, make_sample: Callable[..., Sample]
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS[kind]))
    answer = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=STEPS))
    tokens = plain.generate(**prepared.inputs, max_new_tokens=STEPS, do_sample=False)
    expected = tokens[0, prepared.prompt.n :].tolist()
    if answer.finish == "eos":
        assert expected.pop() in adapter.eos_ids
    assert answer.ids.tolist() == expected


def test_signals_get_norms_if_they_declare_that_they_need_them(
    adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    """GIVEN signals of other names than `attnorm` THEN norms follow from the declaration alone."""
    prepared = adapter.prepare(make_sample(*PROMPTS["text"]))
    options, undeclared = GenerationOptions(max_new_tokens=2), list[LayerRows]()

    def without(layer: LayerRows) -> torch.Tensor:
        undeclared.append(layer)
        return layer.mean

    weighted = AttentionSignal(SIGNALS["attnorm"].reduce, needs_norms=True)
    capture = CaptureOptions({"weighted": weighted, "without": AttentionSignal(without)})
    found = answer_one(adapter, prepared, options, capture).signals["weighted"]
    expected = answer_one(adapter, prepared, options).signals["attnorm"]
    assert np.array_equal(found.values, expected.values)
    assert undeclared
    assert all(layer.norms is None for layer in undeclared)


def test_only_the_decoder_is_watched(adapter: QwenOmni) -> None:
    config = adapter.model.config
    parts = (config.text_config, config.vision_config, config.audio_config)
    # private: transformers has no other name for it
    found = [part._attn_implementation for part in parts]
    assert found == ["omnitrace", "sdpa", "sdpa"]


def test_small_blocks_give_the_same_prompt_mean(
    adapter: QwenOmni, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS["images"]))
    whole = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=1))
    monkeypatch.setattr(observers, "CACHED_SCORES", 7 * 4 * prepared.prompt.n)
    blocks = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=1))
    for name in ("attmean", "rawatt", "attnorm"):
        a, b = whole.signals[name].first_row, blocks.signals[name].first_row
        assert a is not None
        assert b is not None
        np.testing.assert_allclose(a, b, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("chunks", [(13,), (6, 7)], ids=["whole prompt", "prompt in two"])
def test_sliding_windows_and_chunked_prompts(chunks: tuple[int, ...]) -> None:
    """A text model with window layers, fed by hand."""
    torch.manual_seed(0)
    model: Any = transformers.Qwen2ForCausalLM(_window_config())
    model.eval()
    ids = torch.randint(0, 50, (1, 17))
    norms, layers = Norms(), Layers.of(model.config)
    rows = Rows(SIGNALS, layers, Lengths((13,)), norms)
    means = PromptMean(SIGNALS, layers, Lengths((13,)), norms)
    install(model, "")
    with torch.inference_mode(), watching(norms, rows, means):
        cache = transformers.DynamicCache()
        start = 0
        for size in [*chunks, 1, 1, 1, 1]:
            model(ids[:, start : start + size], past_key_values=cache, use_cache=True)
            start += size
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        whole = torch.stack(model(ids, output_attentions=True).attentions)[:, 0]
    found = {
        name: rows_of(SignalRows(rows.values(name, 0, 5)), 13, 5) for name in ("attmean", "rawatt")
    }
    for step in range(5):
        expected = whole[:, :, 12 + step, : 13 + step]
        np.testing.assert_allclose(found["attmean"][step], expected.mean((0, 1)), atol=1e-6)
        np.testing.assert_allclose(found["rawatt"][step], expected[-1].mean(0), atol=1e-6)
    first = {name: means.values(name, 0) for name in found}
    np.testing.assert_allclose(first["attmean"], whole[:, :, :13, :13].mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(first["rawatt"], whole[-1, :, :13, :13].mean((0, 1)), atol=1e-6)
    assert whole[-1, :, 12, 0].max() == 0  # the window hides the first token


def _window_config() -> Any:
    return transformers.Qwen2Config(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        use_sliding_window=True,
        sliding_window=5,
        max_window_layers=2,
    )


def test_rows_of_a_boolean_and_an_added_mask_agree() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(1, 4, 3, 8), torch.randn(1, 2, 5, 8)
    allowed = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [0, 1, 1, 1, 1]], dtype=torch.bool)
    added = torch.zeros(3, 5).masked_fill(~allowed, torch.finfo(torch.float32).min)
    by_bool = softmax_rows(attention_scores(query, key, 0.3), allowed)
    by_sum = softmax_rows(attention_scores(query, key, 0.3), added)
    torch.testing.assert_close(by_bool, by_sum)
    assert by_bool[..., ~allowed].abs().max() == 0
    torch.testing.assert_close(by_bool.sum(-1), torch.ones(1, 4, 3))


def test_half_precision_rows_are_computed_in_float32() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(1, 4, 1, 8).bfloat16(), torch.randn(1, 2, 900, 8).bfloat16()
    rows = softmax_rows(attention_scores(query, key, 0.3), None)
    grouped = key.float().repeat_interleave(2, dim=1)
    expected = (query.float() @ grouped.mT * 0.3).softmax(-1)
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows, expected)
