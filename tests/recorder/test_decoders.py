"""Every kind of decoder, at toy size: what is recorded is what plain transformers computes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from omnitrace.errors import CommandError
from omnitrace.trace import SignalRows
from recorder.passes import prefill
from recorder.passes.capture import Confirmed, confirm, install
from recorder.passes.decoder import is_recurrent
from recorder.passes.draw import Options
from recorder.passes.generate import force, generate
from recorder.passes.masked import Masked
from recorder.signals import GRADIENT_SIGNALS
from tests.recorder.answers import EVERYTHING, answer_one
from tests.recorder.decoders import DECODERS, TextAdapter, drawn_ids, prepared
from tests.recorder.passes.test_batch import assert_same
from tests.recorder.passes.test_capture import rows_of

PROMPT, STEPS = drawn_ids(37), 6
OPTIONS = Options(max_new_tokens=STEPS)
GATED = {"qwen3_next", "qwen3_5"}
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
    adapter, found = watched(name)
    answer = answer_one(adapter, prepared(PROMPT), OPTIONS, EVERYTHING)
    count = len(found.layers)
    assert answer.signals["attention"].layers == found.layers
    assert answer.signals["gradients"].layers == found.layers
    layers = by_layer(answer.signals["attention"], count, STEPS)
    signed_layers = by_layer(answer.signals["gradients"], count, STEPS)
    rows = {
        signal: rows_of(answer.signals[signal], len(PROMPT), STEPS)
        for signal in ("attmean", "rawatt", "attgrads", "attgrads-last")
    }
    said = answer.ids.tolist()
    for t in range(STEPS):
        logits, attentions = attentions_of(eager(name), PROMPT + said[:t])
        assert len(attentions) == count
        gradient = torch.autograd.grad(logits[-1, said[t]], attentions)
        pairs = zip(attentions, gradient, strict=True)
        signed = torch.stack([(a * g)[0, :, -1].mean(0) for a, g in pairs]).detach()
        last = torch.stack(attentions)[:, 0, :, -1].detach().mean(1)
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


@every_decoder
def test_the_prompt_mean_is_that_of_eager_attention(name: str) -> None:
    adapter, _ = watched(name)
    answer = answer_one(adapter, prepared(PROMPT), Options(max_new_tokens=1))
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
    adapter, _ = watched(name)
    one = prepared(PROMPT)
    answer = answer_one(adapter, one, OPTIONS, EVERYTHING)
    tokens = DECODERS[name]().generate(**one.inputs, max_new_tokens=STEPS, do_sample=False)
    assert answer.ids.tolist() == tokens[0, len(PROMPT) :].tolist()
    [given] = force(adapter, [one], [answer.ids], EVERYTHING)
    assert_same(answer, given)


@every_decoder
def test_a_batch_equals_its_samples_alone(name: str) -> None:
    adapter, _ = watched(name)
    prompts = [prepared(PROMPT), prepared(drawn_ids(20, seed=1)), prepared(drawn_ids(1, seed=2))]
    together = generate(adapter, prompts, OPTIONS, EVERYTHING)
    alone = [answer_one(adapter, one, OPTIONS, EVERYTHING) for one in prompts]
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)
    given = force(adapter, prompts, [one.ids for one in alone], EVERYTHING)
    for one, other in zip(alone, given, strict=True):
        assert_same(one, other)


@every_decoder
def test_a_prompt_in_pieces_equals_a_whole_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, _ = watched(name)
    prompts = [prepared(PROMPT), prepared(drawn_ids(20, seed=1))]
    whole = generate(adapter, prompts, OPTIONS, EVERYTHING)
    monkeypatch.setattr(prefill, "PIECE", 11)
    pieces = generate(adapter, prompts, OPTIONS, EVERYTHING)
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
    adapter, _ = watched(name)
    one, plain = prepared(PROMPT), eager(name)
    answer = answer_one(adapter, one, OPTIONS)
    passing, visible = Masked(adapter, one), masks_of(len(PROMPT))
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
    adapter, _ = watched(name)
    one, plain = prepared(PROMPT), eager(name)
    response = np.array(drawn_ids(STEPS, seed=3), np.int32)
    passing, visible = Masked(adapter, one), masks_of(len(PROMPT))
    found = passing.log_odds(response, visible, mean=True)
    ids = torch.tensor([PROMPT + response[:-1].tolist()])
    with torch.no_grad():
        for row, seen in zip(found, visible, strict=True):
            gone = torch.cat([torch.from_numpy(~seen), torch.zeros(STEPS - 1, dtype=torch.bool)])
            embeds = faded(plain, ids, gone)
            expected = literal_log_odds(plain, embeds, np.ones_like(seen), response.tolist())
            np.testing.assert_allclose(row, expected, atol=1e-4, rtol=0)


def faded(model: Any, ids: torch.Tensor, gone: torch.Tensor) -> dict[str, torch.Tensor]:
    """Embeddings in which the tokens that are `gone` (keys,) are the mean of the prompt's."""
    decoder = model.model
    kinds = {"inputs_embeds": model.get_input_embeddings()(ids)}
    if getattr(decoder, "hidden_size_per_layer_input", None):
        kinds["per_layer_inputs"] = decoder.get_per_layer_inputs(ids)
    for values in kinds.values():
        values[0, gone] = values[0, : len(PROMPT)].mean(0)
    return kinds
