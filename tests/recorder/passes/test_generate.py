"""Answers: their tokens, characters, probabilities; empty ones, long ones, drawn ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from omnitrace.errors import OmniTraceError
from recorder.inputs.samples import Sample
from recorder.models.qwen_omni import QwenOmni
from recorder.passes.generate import GenerationOptions, generate
from tests.recorder.answers import ATTENTION, answer_one

QUESTION = "The lamp costs forty euros. What does the lamp cost?"


def test_probabilities_are_the_models(
    adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    prepared = adapter.prepare(make_sample(QUESTION))
    answer = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=6))
    n, steps = prepared.prompt.n, len(answer.ids)
    ids = torch.tensor([[*prepared.prompt.prompt_ids, *answer.ids]])
    with torch.inference_mode():
        logits = adapter.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    logprobs = logits[n - 1 : n - 1 + steps].log_softmax(-1)
    chosen = logprobs[torch.arange(steps), torch.tensor(answer.ids, dtype=torch.long)]
    np.testing.assert_allclose(answer.logprob, chosen, atol=1e-5)
    np.testing.assert_allclose(answer.entropy, -(logprobs.exp() * logprobs).sum(-1), atol=1e-5)
    assert answer.logprob.dtype == answer.entropy.dtype == np.float32
    assert answer.text == adapter.decode(answer.ids.tolist())
    assert answer.chars.shape == (steps, 2)


def test_an_answer_that_ends_at_once_is_empty(
    adapter: QwenOmni, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = adapter.prepare(make_sample(QUESTION))
    first = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=1))
    monkeypatch.setattr(adapter.model.generation_config, "eos_token_id", [int(first.ids[0]), 1])
    answer = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=5))
    assert (answer.text, answer.finish) == ("", "eos")
    assert answer.ids.shape == answer.logprob.shape == answer.entropy.shape == (0,)
    assert answer.chars.shape == (0, 2)
    for name, rows in answer.signals.items():
        assert rows.values.shape == (0,)
        # By layer, the mean row is made of them at replay; `attvisible` has none.
        if name in {"attention", "attvisible"}:
            continue
        assert rows.first_row is not None
        assert rows.first_row.shape == prepared.prompt.prompt_ids.shape


def test_the_token_that_ends_an_answer_is_left_out(
    adapter: QwenOmni, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = adapter.prepare(make_sample(QUESTION))
    long = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=6))
    end = int(long.ids[-1])
    kept = long.ids.tolist().index(end)
    monkeypatch.setattr(adapter.model.generation_config, "eos_token_id", end)
    answer = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=9))
    assert answer.finish == "eos"
    assert answer.ids.tolist() == long.ids[:kept].tolist()
    n = prepared.prompt.n
    assert answer.signals["attmean"].values.shape == (kept * n + kept * (kept - 1) // 2,)


def test_the_longest_answer_ends_by_length(
    adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    prepared = adapter.prepare(make_sample(QUESTION))
    answer = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=2))
    assert (answer.finish, len(answer.ids)) == ("length", 2)


def test_draws_follow_the_seed(adapter: QwenOmni, make_sample: Callable[..., Sample]) -> None:
    prepared = adapter.prepare(make_sample(QUESTION))

    def draw(seed: int) -> list[int]:
        options = GenerationOptions(max_new_tokens=12, temperature=9.0, seed=seed)
        return list(answer_one(adapter, prepared, options).ids)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_it_can_be_stopped_between_tokens(
    adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    prepared = adapter.prepare(make_sample(QUESTION))
    seen: list[int] = []

    def should_continue(step: int) -> bool:
        seen.append(step)
        return step < 3

    assert (
        generate(
            adapter, [prepared], GenerationOptions(max_new_tokens=9), ATTENTION, should_continue
        )
        == []
    )
    assert max(seen) == 3


def test_no_room_for_the_answer(adapter: QwenOmni, make_sample: Callable[..., Sample]) -> None:
    prepared = adapter.prepare(make_sample(QUESTION))
    with pytest.raises(OmniTraceError, match=r"with 32768 new ones that is more than the model's"):
        answer_one(adapter, prepared, GenerationOptions(max_new_tokens=adapter.max_tokens))
