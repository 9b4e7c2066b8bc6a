"""Masked passes equal literal ones: the whole model, a mask of attention, positions held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from omnitrace.arrays import Bool, Int32
from omnitrace.errors import OmniTraceError
from recorder.inputs.samples import Sample
from recorder.models.qwen_omni import QwenOmni
from recorder.passes import masked
from recorder.passes.decoder_inputs import CachedForward, DecoderInputs, embed_text
from recorder.passes.generate import GenerationOptions
from recorder.passes.masked import Masked
from tests.recorder.answers import ATTENTION, answer_one
from tests.recorder.passes.test_capture import PROMPTS

ATOL = 5e-5
"""float32, in nats and in log-odds of up to about 20."""


def masks_of(n: int, rows: int = 5) -> Bool:
    """Nothing masked, a late stretch, two of the same beginning, and tokens here and there."""
    visible = np.ones((rows, n), bool)
    visible[1, 2 * n // 3 : -6] = False
    visible[2, n // 2 : 2 * n // 3] = False
    for row in visible[3:]:
        row[8:-6] = np.random.default_rng(n).random(n - 14) < 0.6
    return visible


def literal(passing: Masked, inputs: Any, ids: Int32, said: Int32, seen: Bool) -> Any:
    """log p - log(1 - p) by one pass of the whole model, in float64 from its logits."""
    every = torch.tensor(np.concatenate([ids, said]).astype(np.int64))[None]
    attend = torch.cat([torch.from_numpy(seen), torch.ones(len(said) - 1, dtype=torch.bool)])
    strip = passing.prompt.append(*embed_text(passing.model, every[0, len(ids) : -1]))
    given = dict(inputs) | {
        "input_ids": every[:, :-1],
        "attention_mask": attend[None].long(),
        "position_ids": strip.positions[..., None, :],
    }
    given.pop("mm_token_type_ids", None)
    with torch.no_grad():
        logits = passing.model(**given).logits[0, len(ids) - 1 :].double()
    probability = logits.softmax(-1).gather(-1, every[0, len(ids) :, None])[:, 0]
    return (probability.log() - (1 - probability).log()).numpy()


@pytest.mark.parametrize("kind", PROMPTS)
def test_rows_are_those_of_the_whole_model(
    kind: str, adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS[kind]))
    answer = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=6))
    passing, visible = Masked(adapter, prepared), masks_of(prepared.prompt.n)
    found = passing.log_odds(answer.ids, visible)
    assert found.dtype == np.float32
    np.testing.assert_allclose(-np.logaddexp(0, -found[0]), answer.logprob, atol=ATOL)
    for row, seen in zip(found, visible, strict=True):
        wanted = literal(passing, prepared.inputs, prepared.prompt.prompt_ids, answer.ids, seen)
        np.testing.assert_allclose(row, wanted, atol=ATOL, rtol=1e-3)


def test_batches_windows_and_shared_beginnings_change_nothing(
    adapter: QwenOmni, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS["audio"]))
    said = np.array([3, 5, 8, 2], np.int32)
    passing, visible = Masked(adapter, prepared), masks_of(prepared.prompt.n)
    wanted = passing.log_odds(said, visible)
    assert masked.shared_beginning(visible[:3]) > 32, "some rows begin alike"
    counted: list[int] = []
    passing.log_odds(said, visible, report=counted.append)
    monkeypatch.setattr(masked, "LEAST_SHARED", 10**9)
    np.testing.assert_allclose(passing.log_odds(said, visible), wanted, atol=ATOL)
    monkeypatch.setattr(masked, "MOST_TOKENS", 1)
    alone: list[int] = []
    np.testing.assert_allclose(
        passing.log_odds(said, visible, report=alone.append), wanted, atol=ATOL
    )
    assert (counted, alone) == ([5], [1, 2, 3, 4, 5])
    passing.windowed = True  # nothing may be left out
    np.testing.assert_allclose(passing.log_odds(said, visible), wanted, atol=ATOL)


def test_rows_that_the_memory_does_not_hold_pass_in_halves(
    adapter: QwenOmni, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS["text"]))
    said = np.array([3, 5], np.int32)
    passing, visible = Masked(adapter, prepared), masks_of(prepared.prompt.n)
    wanted, extend, fits = passing.log_odds(said, visible), CachedForward.extend, 2

    def small(self: CachedForward, rows: Sequence[DecoderInputs]) -> torch.Tensor:
        if len(rows) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return extend(self, rows)

    monkeypatch.setattr(CachedForward, "extend", small)
    np.testing.assert_allclose(passing.log_odds(said, visible), wanted, atol=ATOL)
    fits = 0
    with pytest.raises(OmniTraceError, match="memory"):
        passing.log_odds(said, visible)


def test_where_the_memory_does_not_keep_the_prompt_each_batch_begins_anew(
    adapter: QwenOmni, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS["audio"]))
    said = np.array([3, 5], np.int32)
    passing, visible = Masked(adapter, prepared), masks_of(prepared.prompt.n)
    monkeypatch.setattr(masked, "MOST_TOKENS", 1)
    kept: list[int] = []
    branch = CachedForward.branch

    def counted(self: CachedForward, tokens: int, rows: int) -> CachedForward:
        kept.append(tokens)
        return branch(self, tokens, rows)

    monkeypatch.setattr(CachedForward, "branch", counted)
    wanted = passing.log_odds(said, visible)
    n = prepared.prompt.n
    assert sorted(kept) == sorted([n - 1, 2 * n // 3, n // 2])

    def full(self: CachedForward, tokens: int, rows: int) -> CachedForward:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(CachedForward, "branch", full)
    np.testing.assert_allclose(passing.log_odds(said, visible), wanted, atol=ATOL)


def test_a_mean_embedding_is_that_of_the_modality(
    adapter: QwenOmni, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS["mixed"]))
    said = np.array([3, 5, 8], np.int32)
    passing, visible = Masked(adapter, prepared), masks_of(prepared.prompt.n)
    found = passing.log_odds(said, visible, mode="mean-embedding")
    np.testing.assert_allclose(found[0], passing.log_odds(said, visible[:1])[0], atol=ATOL)
    assert np.abs(found[1:] - passing.log_odds(said, visible[1:])).max() > 0.1
    embeds = passing.prompt.embeds.clone()
    for token in np.flatnonzero(~visible[3]):
        own = prepared.prompt.timeline.modality == prepared.prompt.timeline.modality[token]
        embeds[token] = passing.prompt.embeds[torch.from_numpy(own)].mean(dim=0)
    passing.prompt.embeds[:] = embeds
    every = np.ones((1, prepared.prompt.n), bool)
    np.testing.assert_allclose(found[3], passing.log_odds(said, every)[0], atol=ATOL)


def test_answer_masks_pass_the_prompt_once_whatever_the_batches(
    adapter: QwenOmni, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS["mixed"]))
    response, n = np.array([3, 5, 8], np.int32), prepared.prompt.n
    passing, visible = Masked(adapter, prepared), masks_of(n)
    widths: list[int] = []
    extend = CachedForward.extend

    def counted(self: CachedForward, rows: Sequence[DecoderInputs]) -> torch.Tensor:
        widths.append(len(rows[0]))
        return extend(self, rows)

    monkeypatch.setattr(CachedForward, "extend", counted)
    wanted = passing.log_odds(response, visible, mode="answer-mask")
    assert widths == [3], "the pass that confirmed the prompt is kept"
    widths.clear()
    monkeypatch.setattr(masked, "MOST_TOKENS", 1)
    alone = passing.log_odds(response, visible, mode="answer-mask")
    assert widths == [n, 3, 3, 3, 3, 3]
    np.testing.assert_allclose(alone, wanted, atol=ATOL)

    def full(self: CachedForward, *_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(CachedForward, "branch", full)
    with pytest.raises(OmniTraceError, match="memory"):
        passing.log_odds(response, visible, mode="answer-mask")


def test_an_empty_response_has_empty_rows(
    adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS["text"]))
    visible = masks_of(prepared.prompt.n)
    found = Masked(adapter, prepared).log_odds(np.zeros(0, np.int32), visible)
    assert found.shape == (5, 0)


@pytest.mark.parametrize("kind", ["text", "mixed"])
def test_answers_under_no_mask_are_the_models_own(
    kind: str, adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    prepared = adapter.prepare(make_sample(*PROMPTS[kind]))
    answer = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=9), ATTENTION)
    visible = masks_of(prepared.prompt.n)
    passing = Masked(adapter, prepared)
    together = passing.answers(visible, 9)
    assert together[0] == answer.ids.tolist()
    for row, seen in zip(together, visible, strict=True):
        assert row == passing.answers(seen[None], 9)[0]
