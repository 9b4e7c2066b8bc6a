"""Every kind of decoder, at toy size: what is recorded is what plain transformers computes."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
import transformers
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

from omnitrace.errors import CommandError, OmniTraceError, SampleError
from omnitrace.trace import SignalRows
from recorder import tracer
from recorder.config import RecordConfig
from recorder.inputs.samples import Sample
from recorder.models.adapter import ModelSpec
from recorder.passes import decoder as text_decoder
from recorder.passes.capture import Confirmed, confirm, install
from recorder.passes.decoder import attending_layers, is_recurrent
from recorder.passes.decoder_inputs import embed_text
from recorder.passes.generate import Answer, GenerationOptions, force, generate
from recorder.passes.masked import Masked
from recorder.passes.observers import CaptureOptions
from recorder.signals import GRADIENT_SIGNALS
from recorder.tags import load_tagger
from recorder.tracer import Task, Tracer
from tests.recorder.answers import EVERYTHING, answer_one
from tests.recorder.decoders import DECODERS, TextAdapter, drawn_ids, prepared
from tests.recorder.passes.test_batch import assert_same
from tests.recorder.passes.test_capture import rows_of

PROMPT, STEPS = drawn_ids(37), 4
PROMPTS = [prepared(PROMPT), prepared(drawn_ids(20, seed=1)), prepared(drawn_ids(1, seed=2))]
OPTIONS = GenerationOptions(max_new_tokens=STEPS)
GATED = {"qwen3_next", "qwen3_5"}
CAPPED = {"gemma2"}
every_decoder = pytest.mark.parametrize("name", DECODERS)


@cache
def watched(name: str) -> tuple[TextAdapter, Confirmed]:
    """The decoder, ready to record, and which of its layers attend."""
    adapter = TextAdapter(DECODERS[name]())
    install(adapter.model, adapter.decoder)
    return adapter, confirm(adapter.model, adapter.layers)


@cache
def eager(name: str) -> Any:
    """The same weights in eager attention, so that gradients can be had."""
    model = DECODERS[name]()
    model.set_attn_implementation("eager")
    model.get_input_embeddings().weight.requires_grad_()
    return model


@cache
def answers(name: str) -> list[Answer]:
    """To each of `PROMPTS` alone, with all signals."""
    return [answer_one(watched(name)[0], one, OPTIONS, EVERYTHING) for one in PROMPTS]


def attentions_of(model: Any, ids: list[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Logits (keys, words) and the attention of each attending layer (1, heads, keys, keys), by one
    forward pass over all."""
    out = model(input_ids=torch.tensor([ids]), output_attentions=True, use_cache=False)
    return out.logits[0], [each for each in out.attentions if each is not None]


def by_layer(rows: SignalRows, layers: int, steps: int) -> list[list[npt.NDArray[np.float32]]]:
    """For each layer its row of each step."""
    apart = rows.values.reshape(layers, -1)
    return [rows_of(SignalRows(values), len(PROMPT), steps) for values in apart]


@every_decoder
def test_rows_and_gradients_equal_eager_forwards(name: str) -> None:
    found, answer = watched(name)[1], answers(name)[0]
    count = len(found.layers)
    assert answer.signals["attention"].layers == found.layers
    assert answer.signals["gradients"].layers == found.layers
    layers = by_layer(answer.signals["attention"], count, STEPS)
    signed_layers = by_layer(answer.signals["gradients"], count, STEPS)
    rows = {
        signal: rows_of(answer.signals[signal], len(PROMPT), STEPS)
        for signal in ("attmean", "rawatt", "attgrads", "attgrads-last", "attgrads-positive")
    }
    said = answer.ids.tolist()
    for t in range(STEPS):
        logits, attentions = attentions_of(eager(name), PROMPT + said[:t])
        assert len(attentions) == count
        gradient = torch.autograd.grad(logits[-1, said[t]], attentions, retain_graph=True)
        pairs = zip(attentions, gradient, strict=True)
        signed = torch.stack([(a * g)[0, :, -1].mean(0) for a, g in pairs]).detach()
        last = torch.stack(attentions)[:, 0, :, -1].detach().mean(1)
        assert float(last.max()) > 1.5 / last.shape[1], "attention that is not uniform"
        for layer in range(count):
            np.testing.assert_allclose(layers[layer][t], last[layer], atol=1e-6, rtol=0)
        np.testing.assert_allclose(rows["attmean"][t], last.mean(0), atol=1e-6, rtol=0)
        np.testing.assert_allclose(rows["rawatt"][t], last[-1], atol=1e-6, rtol=0)
        bound = 1e-5 * float(signed.abs().max())
        assert bound > 0
        for layer in range(count):
            np.testing.assert_allclose(signed_layers[layer][t], signed[layer], atol=bound, rtol=0)
        for signal in ("attgrads", "attgrads-last"):
            expected = GRADIENT_SIGNALS[signal].reduce(signed)
            np.testing.assert_allclose(rows[signal][t], expected, atol=bound, rtol=0)
        positive = positive_products(logits[-1], said[t], attentions)
        bound = 1e-5 * float(positive.max())
        assert bound > 0
        expected = positive.mean(0)
        np.testing.assert_allclose(rows["attgrads-positive"][t], expected, atol=bound, rtol=0)


def positive_products(
    logits: torch.Tensor, token: int, attentions: list[torch.Tensor]
) -> torch.Tensor:
    """max(0, A ⊙ ∂y/∂A) of the last query, y the log-odds of `token`: (layers · heads, keys)."""
    others = torch.cat([logits[:token], logits[token + 1 :]])
    gradient = torch.autograd.grad(logits[token] - others.logsumexp(0), attentions)
    pairs = zip(attentions, gradient, strict=True)
    return torch.cat([(a * g)[0, :, -1] for a, g in pairs]).detach().clamp(min=0)


@every_decoder
def test_the_prompt_mean_is_that_of_eager_attention(name: str) -> None:
    answer = answers(name)[0]
    _, attentions = attentions_of(eager(name), PROMPT)
    whole = torch.stack(attentions)[:, 0].detach()
    for signal, expected in {
        "attmean": whole.mean((0, 1, 2)),
        "rawatt": whole[-1].mean((0, 1)),
    }.items():
        first = answer.signals[signal].first_row
        assert first is not None
        np.testing.assert_allclose(first, expected, atol=1e-6, rtol=0)


@every_decoder
def test_tokens_equal_plain_generation_and_given_ones(name: str) -> None:
    adapter, answer, one = watched(name)[0], answers(name)[0], PROMPTS[0]
    plain = DECODERS[name]()
    if name in CAPPED:
        plain.set_attn_implementation("eager")  # as newer releases have it by default
    tokens = plain.generate(**one.inputs, max_new_tokens=STEPS, do_sample=False)
    assert answer.ids.tolist() == tokens[0, len(PROMPT) :].tolist()
    [given] = force(adapter, [one], [answer.ids], EVERYTHING)
    assert_same(answer, given)


@every_decoder
def test_a_batch_equals_its_samples_alone(name: str) -> None:
    adapter, alone = watched(name)[0], answers(name)
    together = generate(adapter, PROMPTS, OPTIONS, EVERYTHING)
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)
    given = force(adapter, PROMPTS, [one.ids for one in alone], EVERYTHING)
    for one, other in zip(alone, given, strict=True):
        assert_same(one, other)


@every_decoder
def test_a_prompt_in_pieces_equals_a_whole_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answers(name)[:2]
    monkeypatch.setattr(text_decoder, "PIECE", 11)
    pieces = generate(watched(name)[0], PROMPTS[:2], OPTIONS, EVERYTHING)
    for one, other in zip(whole, pieces, strict=True):
        assert_same(one, other)


def test_which_decoders_carry_a_state() -> None:
    recurrent = {name for name in DECODERS if is_recurrent(watched(name)[0].model.config)}
    assert recurrent == GATED | {"lfm2", "granitemoehybrid", "falcon_h1", "nemotron_h"}


def masks_of(n: int) -> npt.NDArray[np.bool_]:
    """Nothing masked, a stretch, and tokens here and there, never the first or the last."""
    visible = np.ones((4, n), bool)
    visible[1, n // 2 : n - 6] = False
    for row in visible[2:]:
        row[2:-3] = np.random.default_rng(n).random(n - 5) < 0.6
    return visible


def literal_log_odds(
    model: Any, embeds: dict[str, torch.Tensor], seen: npt.NDArray[np.bool_], said: list[int]
) -> npt.NDArray[np.float64]:
    """log p - log(1 - p) of each token `said`, by one pass of the plain model under a mask."""
    attend = torch.cat([torch.from_numpy(seen), torch.ones(len(said) - 1, dtype=torch.bool)])
    positions = torch.arange(len(attend))[None]
    out = model(**embeds, attention_mask=attend[None].long(), position_ids=positions)
    p = out.logits[0, len(seen) - 1 :].double().softmax(-1)[range(len(said)), said]
    found: npt.NDArray[np.float64] = (p.log() - (1 - p).log()).numpy()
    return found


@every_decoder
def test_masked_rows_are_those_of_attention_masks(name: str) -> None:
    adapter, answer, plain = watched(name)[0], answers(name)[0], eager(name)
    passing, visible = Masked(adapter, PROMPTS[0]), masks_of(len(PROMPT))
    said = answer.ids.tolist()
    if is_recurrent(adapter.model.config):
        with pytest.raises(CommandError, match="use --mode mean-embedding or --mode remove"):
            passing.log_odds(answer.ids, visible)
        with pytest.raises(CommandError, match="use --mode mean-embedding or --mode remove"):
            passing.answers(visible, STEPS)
        visible = visible[:1]
    found = passing.log_odds(answer.ids, visible)
    ids = {"input_ids": torch.tensor([PROMPT + said[:-1]])}
    with torch.no_grad():
        for row, seen in zip(found, visible, strict=True):
            expected = literal_log_odds(plain, ids, seen, said)
            np.testing.assert_allclose(row, expected, atol=1e-4, rtol=0)
    together = passing.answers(visible, STEPS)
    assert together[0] == said
    for answered, seen in zip(together, visible, strict=True):
        assert answered == passing.answers(seen[None], STEPS)[0]


@every_decoder
def test_mean_embeddings_are_those_of_the_prompt(name: str) -> None:
    adapter, plain = watched(name)[0], eager(name)
    response = np.array(drawn_ids(STEPS, seed=3), np.int32)
    passing, visible = Masked(adapter, PROMPTS[0]), masks_of(len(PROMPT))
    found = passing.log_odds(response, visible, mode="mean-embedding")
    ids = torch.tensor([PROMPT + response[:-1].tolist()])
    with torch.no_grad():
        for row, seen in zip(found, visible, strict=True):
            gone = torch.cat([torch.from_numpy(~seen), torch.zeros(STEPS - 1, dtype=torch.bool)])
            embeds = faded(plain, ids, gone)
            expected = literal_log_odds(plain, embeds, np.ones_like(seen), response.tolist())
            np.testing.assert_allclose(row, expected, atol=1e-4, rtol=0)


def hiding(name: str, first: int, seen: npt.NDArray[np.bool_]) -> Any:
    """The plain model in eager attention in which, in every layer, the queries from the position
    `first` on do not see the prompt tokens that are not `seen` (n,)."""
    model, gone = DECODERS[name](), torch.from_numpy(~seen)

    def hide(module: Any, query: Any, key: Any, value: Any, mask: Any, **given: Any) -> Any:
        eager_forward = sys.modules[type(module).__module__].eager_attention_forward
        hidden = mask.expand(-1, -1, query.shape[2], key.shape[2]).clone()
        hidden[:, :, first:, : len(gone)][..., gone] = torch.finfo(hidden.dtype).min
        return eager_forward(module, query, key, value, hidden, **given)

    AttentionInterface.register("hide", hide)
    AttentionMaskInterface.register("hide", ALL_MASK_ATTENTION_FUNCTIONS["eager"])
    model.set_attn_implementation("hide")
    return model


@every_decoder
def test_answer_masks_hide_keys_from_the_queries_of_the_answer_alone(name: str) -> None:
    adapter, answer, n = watched(name)[0], answers(name)[0], len(PROMPT)
    passing, visible = Masked(adapter, PROMPTS[0]), masks_of(n)
    said = answer.ids.tolist()
    if is_recurrent(adapter.model.config):
        with pytest.raises(CommandError, match="use --mode mean-embedding or --mode remove"):
            passing.log_odds(answer.ids, visible, mode="answer-mask")
        return
    found = passing.log_odds(answer.ids, visible, mode="answer-mask")
    ids, every = {"input_ids": torch.tensor([PROMPT + said[:-1]])}, np.ones(n, bool)
    with torch.no_grad():
        for row, seen in zip(found, visible, strict=True):
            expected = literal_log_odds(hiding(name, n - 1, seen), ids, every, said)
            np.testing.assert_allclose(row, expected, atol=1e-4, rtol=0)
    np.testing.assert_allclose(found[0], passing.log_odds(answer.ids, visible)[0], atol=1e-4)
    assert np.abs(found[1:] - passing.log_odds(answer.ids, visible[1:])).max() > 1e-3


def faded(model: Any, ids: torch.Tensor, gone: torch.Tensor) -> dict[str, torch.Tensor]:
    """Embeddings in which the tokens that are `gone` (keys,) are the mean of the prompt's."""
    decoder = model.model
    kinds = {"inputs_embeds": model.get_input_embeddings()(ids)}
    if getattr(decoder, "hidden_size_per_layer_input", None):
        _, layered = embed_text(model, ids[0])
        assert layered is not None
        kinds["per_layer_inputs"] = layered[None].clone()
    for values in kinds.values():
        values[0, gone] = values[0, : len(PROMPT)].mean(0)
    return kinds


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gemma2", "capped attention scores"),
        ("gpt_oss", "attention sinks"),
        ("gemma4", "heads of unequal layers"),
        ("llama4", "masks that are no window"),
    ],
)
def test_what_level_qk_does_not_keep(name: str, reason: str) -> None:
    adapter, _ = watched(name)
    with pytest.raises(SampleError, match=f"the model has {reason}, .* --level heads or layers"):
        generate(adapter, PROMPTS, OPTIONS, CaptureOptions({}, queries_and_keys=True))


@pytest.mark.parametrize("name", ["mistral", "gemma3", "deepseek_v3", "qwen3_next", "lfm2"])
def test_queries_and_keys_give_the_rows_of_the_layers_that_attend(name: str) -> None:
    adapter, found = watched(name)
    wanted = replace(EVERYTHING, gradients={}, queries_and_keys=True)
    answer = generate(adapter, PROMPTS, OPTIONS, wanted)[0]
    assert answer.inner is not None
    rows = by_layer(answer.signals["attention"], len(found.layers), STEPS)
    for layer in range(len(found.layers)):
        mean = answer.inner.rows(layer).mean(0)
        for t in range(STEPS):
            row = mean[t, : len(PROMPT) + t]
            np.testing.assert_allclose(row, rows[layer][t], atol=5e-6, rtol=0)


@cache
def norms_of(name: str) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Layer → attention (heads, keys, keys) and ‖v W_O‖ (heads, keys), of eager attention over the
    prompt, by way of the layers' own modules."""
    model, found = DECODERS[name](), {}

    def spy(module: Any, query: Any, key: Any, value: Any, mask: Any, **given: Any) -> Any:
        eager_forward = sys.modules[type(module).__module__].eager_attention_forward
        out, rows = eager_forward(module, query, key, value, mask, **given)
        output = module.out_proj if hasattr(module, "out_proj") else module.o_proj
        heads, width = query.shape[1], value.shape[-1]
        values = value[0].repeat_interleave(heads // len(value[0]), 0)
        columns = output.weight.reshape(-1, heads, width).permute(1, 2, 0)
        found[module.layer_idx] = rows[0], (values @ columns).norm(dim=-1)
        return out, rows

    AttentionInterface.register("spy", spy)
    AttentionMaskInterface.register("spy", ALL_MASK_ATTENTION_FUNCTIONS["eager"])
    model.set_attn_implementation("spy")
    with torch.no_grad():
        model(input_ids=torch.tensor([PROMPT]), use_cache=False)
    return found


@pytest.mark.parametrize("name", [name for name in DECODERS if name not in GATED])
def test_attnorm_weighs_attention_by_what_it_carries(name: str) -> None:
    found = watched(name)[1]
    assert found.weighs
    answer, layers = answers(name)[0], norms_of(name)
    assert tuple(layers) == found.layers
    weighted = torch.stack([(rows * norms[:, None]).sum(0) for rows, norms in layers.values()])
    rows = answer.signals["attnorm"]
    step = rows.values[: len(PROMPT)]
    np.testing.assert_allclose(step, weighted[:, -1].mean(0), rtol=1e-4, atol=1e-6)
    assert rows.first_row is not None
    np.testing.assert_allclose(rows.first_row, weighted.mean((0, 1)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(GATED))
def test_gated_attention_is_not_weighed_by_values(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, found = watched(name)
    assert not found.weighs
    monkeypatch.setattr(tracer, "load_adapter", lambda *given: adapter)
    tagger, spec = load_tagger(None), cast("ModelSpec", None)
    for signal in ("attnorm", "flow"):
        with pytest.raises(CommandError, match=f"'{signal}' cannot be recorded: .* --signals"):
            Tracer.load(spec, RecordConfig(signals=f"attmean,{signal}"), tagger)
    loaded = Tracer.load(spec, RecordConfig(max_new_tokens=2), tagger)
    [trace] = loaded.traces([Task(Sample("gated", (), None, ""), PROMPTS[0])])
    assert "attmean" in trace.signals
    assert "attnorm" not in trace.signals
    assert list(trace.meta["left_out"]) == ["attnorm"]
    assert trace.meta["attention_layers"] == [1, 3]


def test_layers_whose_attention_is_not_known_are_refused() -> None:
    config = transformers.LlamaConfig(num_hidden_layers=2)
    config.layer_types = ["full_attention", "compressed_sparse_attention"]
    with pytest.raises(CommandError, match="layers of type 'compressed_sparse_attention'"):
        attending_layers(config)
    config.layer_types = ["conv", "mlp"]
    with pytest.raises(CommandError, match="no layer of the model attends"):
        attending_layers(config)


@pytest.mark.parametrize("name", ["lfm2", "qwen3_next"])
def test_an_attending_layer_outside_the_interface_is_noticed(name: str) -> None:
    model = DECODERS[name]()
    install(model, "")
    layer = model.model.layers[1].self_attn
    layer.forward = lambda hidden_states, **_: (hidden_states, None)
    with pytest.raises(CommandError, match="only 1 of the model's 2 attention layers attend"):
        confirm(model, 4)


def test_gradients_need_the_states_before_the_last_prompt_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text_decoder, "cannot_be_cut", lambda given: True)
    adapter, _ = watched("lfm2")
    answer_one(adapter, PROMPTS[0], OPTIONS)
    with pytest.raises(OmniTraceError, match="choose signals without gradients with --signals"):
        answer_one(adapter, PROMPTS[0], OPTIONS, EVERYTHING)
