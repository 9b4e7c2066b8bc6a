"""Batches: left-padded prompts of any kind give the answers and rows that each alone gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from omnitrace.errors import OmniTraceError
from recorder.inputs.samples import Sample
from recorder.models.qwen_omni import QwenOmni
from recorder.passes import decoder as text_decoder
from recorder.passes.batch import collate, fits
from recorder.passes.generate import Answer, GenerationOptions, force, generate
from tests.recorder.answers import EVERYTHING, answer_one
from tests.recorder.passes.test_capture import PROMPTS

STEPS = 8
ATOL = 1e-5
"""float32; rows are at most 1, gradients and value norms about that."""


def assert_same(one: Answer, other: Answer, atol: float = ATOL) -> None:
    """The same tokens and text; the same numbers within `atol`."""
    assert (one.ids.tolist(), one.text) == (other.ids.tolist(), other.text)
    assert one.chars.tolist() == other.chars.tolist()
    np.testing.assert_allclose(one.logprob, other.logprob, atol=atol, rtol=0)
    np.testing.assert_allclose(one.entropy, other.entropy, atol=atol, rtol=0)
    assert set(one.signals) == set(other.signals)
    for name, rows in one.signals.items():
        given = other.signals[name]
        assert rows.layers == given.layers
        np.testing.assert_allclose(rows.values, given.values, atol=atol, rtol=1e-5)
        if rows.first_row is not None:
            assert given.first_row is not None
            np.testing.assert_allclose(rows.first_row, given.first_row, atol=atol, rtol=1e-5)


def test_a_batch_equals_its_samples_alone(
    adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    kinds = ["text", "images", "audio", "silent film"]
    prepared = [adapter.prepare(make_sample(*PROMPTS[kind])) for kind in kinds]
    assert len({each.prompt.n for each in prepared}) == len(kinds)
    options = GenerationOptions(max_new_tokens=STEPS)
    together = generate(adapter, prepared, options, EVERYTHING)
    for one, answer in zip(prepared, together, strict=True):
        assert_same(answer_one(adapter, one, options, EVERYTHING), answer)


def test_a_batch_of_films_with_sound(adapter: QwenOmni, make_sample: Callable[..., Sample]) -> None:
    kinds = ["film with sound", "film with sound"]
    extra = ("The parcel weighs seven kilos.", "")
    prepared = [
        adapter.prepare(make_sample(*filter(None, [text, *PROMPTS[kind]])))
        for kind, text in zip(kinds, extra, strict=True)
    ]
    options = GenerationOptions(max_new_tokens=STEPS)
    together = generate(adapter, prepared, options, EVERYTHING)
    for one, answer in zip(prepared, together, strict=True):
        assert_same(answer_one(adapter, one, options, EVERYTHING), answer)


@pytest.mark.parametrize("kind", PROMPTS)
def test_forced_equals_decoded(
    kind: str, adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS[kind]))
    said = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=STEPS), EVERYTHING)
    [forced] = force(adapter, [prepared], [said.ids], EVERYTHING)
    assert forced.finish == "given"
    assert_same(said, forced)


def test_a_forced_batch_of_unequal_answers(
    adapter: QwenOmni, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recorder.passes.generate.MAX_SCORES", 1)  # a token at a time
    prepared = [adapter.prepare(make_sample(*PROMPTS[kind])) for kind in ("text", "audio")]
    said = [
        answer_one(adapter, one, GenerationOptions(max_new_tokens=5), EVERYTHING)
        for one in prepared
    ]
    short = replace(said[1], ids=said[1].ids[:2])
    alone = force(adapter, prepared[1:], [short.ids], EVERYTHING)
    together = force(adapter, prepared, [said[0].ids, short.ids], EVERYTHING)
    assert_same(said[0], together[0])
    assert_same(alone[0], together[1])
    assert len(together[1].ids) == 2


def test_an_empty_answer_can_be_forced(
    adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS["text"]))
    [forced] = force(adapter, [prepared], [np.zeros(0, np.int32)], EVERYTHING)
    assert (forced.text, forced.ids.shape) == ("", (0,))
    assert all(rows.values.shape == (0,) for rows in forced.signals.values())


@pytest.mark.parametrize("kind", ["mixed", "images"])
def test_a_prompt_in_pieces_equals_a_whole_one(
    kind: str,
    adapter: QwenOmni,
    make_sample: Callable[..., Sample],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS[kind]))
    options = GenerationOptions(max_new_tokens=STEPS)
    whole = answer_one(adapter, prepared, options, EVERYTHING)
    monkeypatch.setattr(text_decoder, "PIECE", 29)
    assert prepared.prompt.n > 2 * 29
    assert_same(whole, answer_one(adapter, prepared, options, EVERYTHING))


def test_draws_do_not_depend_on_the_batch(
    adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    prepared = [adapter.prepare(make_sample(*PROMPTS[kind])) for kind in ("text", "images")]
    options = GenerationOptions(max_new_tokens=STEPS, temperature=3.0, top_k=40, top_p=0.95, seed=4)
    together = generate(adapter, prepared, options, EVERYTHING)
    alone = [answer_one(adapter, one, options, EVERYTHING) for one in prepared]
    assert [a.ids.tolist() for a in together] == [a.ids.tolist() for a in alone]


def test_inputs_that_do_not_fit_together() -> None:
    ids = torch.ones(1, 3, dtype=torch.long)
    with_sound, without = {"input_ids": ids, "use_audio_in_video": True}, {"input_ids": ids}
    assert not fits(with_sound, without)
    assert fits(without, without)
    other = {"input_ids": ids, "use_audio_in_video": False}
    with pytest.raises(OmniTraceError, match="use_audio_in_video"):
        collate([with_sound, other], 0)


def test_shorter_media_are_padded_behind() -> None:
    mels = [torch.ones(1, 2, 3), torch.ones(1, 2, 5)]
    ids = torch.ones(1, 1, dtype=torch.long)
    batch = collate([{"input_ids": ids, "input_features": mel} for mel in mels], 0)
    assert batch["input_features"].shape == (2, 2, 5)
    assert batch["input_features"][0, :, 3:].abs().sum() == 0
    assert batch["input_features"].sum() == 16


def test_what_goes_along_the_prompt_is_padded_on_the_left() -> None:
    long, short = torch.arange(1, 6)[None], torch.arange(1, 3)[None]
    batch = collate(
        [
            {"input_ids": long, "token_type_ids": torch.tensor([[0, 0, 1, 1, 0]])},
            {"input_ids": short, "token_type_ids": torch.tensor([[1, 0]])},
            {"input_ids": short},
        ],
        9,
    )
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5], [9, 9, 9, 1, 2], [9, 9, 9, 1, 2]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 1, 1, 0], [0, 0, 0, 1, 0], [0] * 5]


def test_positions_of_several_axes_are_padded_on_the_left() -> None:
    prompts = [
        {"input_ids": torch.ones(1, n), "position_ids": torch.full((3, 1, n), 7)} for n in (4, 2)
    ]
    positions = collate(prompts, 0)["position_ids"]
    assert positions.shape == (3, 2, 4)
    assert positions[:, 1].tolist() == [[1, 1, 7, 7]] * 3


@pytest.mark.parametrize("name", ["feature_attention_mask", "image_sizes", "input_features_mask"])
def test_media_as_long_as_their_prompt_are_padded_behind(name: str) -> None:
    prompts = [{"input_ids": torch.ones(1, n), name: torch.ones(1, n)} for n in (4, 2)]
    assert collate(prompts, 0)[name].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_a_tensor_that_is_as_long_as_one_prompt_only_holds_media() -> None:
    prompts = [{"input_ids": torch.ones(1, n), "seconds": torch.ones(1, 4)} for n in (4, 2)]
    assert collate(prompts, 0)["seconds"].tolist() == [[1] * 4, [1] * 4]
