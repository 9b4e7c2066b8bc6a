"""The training of the tiny omni model: what it learns on equals what the processor makes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from recorder.planted.media import Audio, Image, render
from recorder.planted.samples import KINDS, ask_differently, make_plan, make_sample
from training import omni, omni_check
from training.omni_check import compare
from training.omni_data import Encoder, Example, as_decoded, branch, collate, hide
from training.omni_model import build_model, build_processor

# transformers hands a tensor to numpy the old way where films have sound.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def processor() -> Any:
    return build_processor(0)


@pytest.fixture(scope="module")
def model(processor: Any) -> Any:
    return build_model(processor.tokenizer, 0).eval()


@pytest.fixture(scope="module")
def encoder(processor: Any, model: Any) -> Encoder:
    return Encoder(processor, model)


@pytest.mark.parametrize("text", ["Grüße, 你好 🙂", "\x00\t<|not_special|>", "The parcel."])
def test_any_text_encodes_and_comes_back(processor: Any, text: str) -> None:
    ids = processor.tokenizer(text)["input_ids"]
    assert processor.tokenizer.decode(ids) == text


def test_words_of_the_prompts_are_one_token(processor: Any) -> None:
    assert len(processor.tokenizer(" parcel weighs seven kilos")["input_ids"]) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_training_inputs_equal_the_processors(processor: Any, encoder: Encoder, kind: str) -> None:
    for seed in (0, 1):
        plan = make_plan(seed, kind)
        mine = _collated(encoder, plan, 0.0)
        theirs = _processed(processor, plan)
        n = theirs["input_ids"].shape[1]
        assert torch.equal(mine["input_ids"][:, :n], theirs["input_ids"])
        for name in ("pixel_values", "pixel_values_videos"):
            assert (name in mine) == (name in theirs)
            if name in mine:
                torch.testing.assert_close(mine[name], theirs[name])
        if "input_features" in mine:
            mask = theirs["feature_attention_mask"]
            assert torch.equal(mine["feature_attention_mask"].sum(1), mask.sum(1))
            for row, frames in enumerate(mask.sum(1).tolist()):
                ours = mine["input_features"][row, :, :frames]
                torch.testing.assert_close(
                    ours, theirs["input_features"][row, :, :frames], atol=1e-3, rtol=0
                )


def _collated(encoder: Encoder, plan: Any, share: float) -> dict[str, torch.Tensor]:
    encoded = encoder.encode(plan)
    hidden, known = hide(encoded, np.random.default_rng(0), share)
    one = branch(encoder.tokens, encoded.rest, plan.questions, str(plan.parts[-1]), known)
    return collate([Example(encoded, hidden, (one,))], 0)


def _processed(processor: Any, plan: Any) -> Any:
    """The processor's own inputs of the same media."""
    images: list[torch.Tensor] = []
    videos: list[torch.Tensor] = []
    audios: list[Any] = []
    video_of_audio: list[int | None] = []
    for part in (part for part in plan.parts if not isinstance(part, str)):
        medium = as_decoded(render(part), part)
        if isinstance(medium, Image):
            images.append(_channels_first(medium.pixels))
        elif isinstance(medium, Audio):
            audios.append(medium.samples)
            video_of_audio.append(None)
        else:
            if medium.audio is not None:
                audios.append(medium.audio.samples)
                video_of_audio.append(len(videos))
            videos.append(_channels_first(medium.frames[::4]))
    has_audio = any(video is not None for video in video_of_audio)
    in_films = {"load_audio_from_video": True, "audio_from_video_indices": video_of_audio}
    return processor(
        text=[processor.apply_chat_template(_messages(plan), add_generation_prompt=True)],
        images=images or None,
        videos=videos or None,
        audio=audios or None,
        return_tensors="pt",
        **(in_films if has_audio else {}),
    )


def _channels_first(pixels: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(pixels, -1, -3).copy())


def _messages(plan: Any) -> list[dict[str, Any]]:
    return make_sample(int(plan.id.rsplit("-", 1)[1]), plan.id.rsplit("-", 1)[0]).messages


@pytest.mark.parametrize("kind", KINDS)
def test_branches_do_not_see_each_other(encoder: Encoder, model: Any, kind: str) -> None:
    """Two requests in one row, some units hidden, give the logits of each request alone."""
    encoded = encoder.encode(make_plan(2, kind))
    hidden, known = hide(encoded, np.random.default_rng(0), 0.5)
    branches = tuple(
        branch(encoder.tokens, encoded.rest, plan.questions, str(plan.parts[-1]), known)
        for plan in (ask_differently(encoded.plan, seed) for seed in (1, 2))
    )
    together = _logits(model, [Example(encoded, hidden, branches)])
    alone = [_logits(model, [Example(encoded, hidden, (one,))]) for one in branches]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)


def _logits(model: Any, drawn: list[Example]) -> torch.Tensor:
    with torch.inference_mode():
        return omni.logits_and_targets(model, collate(drawn, 0))[0]


def test_hidden_units_change_what_is_right(encoder: Encoder) -> None:
    encoded = encoder.encode(make_plan(0, "mixed"))
    hidden, known = hide(encoded, np.random.default_rng(0), 1.0)
    assert known == []
    for where in encoded.fact_tokens:
        assert len(where) > 3
        assert hidden[where].all()
    nothing, everything = hide(encoded, np.random.default_rng(0), 0.0)
    assert not nothing.any()
    assert everything == list(encoded.plan.facts)


def test_a_hidden_unit_cannot_be_read(encoder: Encoder, model: Any) -> None:
    """Other ids at hidden positions give the same logits: nothing of them gets through."""
    encoded = encoder.encode(make_plan(1, "text"))
    hidden, known = hide(encoded, np.random.default_rng(0), 1.0)
    request = (encoded.plan.questions, str(encoded.plan.parts[-1]))
    one = branch(encoder.tokens, encoded.rest, *request, known)
    other = replace(encoded, ids=torch.where(hidden, 5, encoded.ids))
    one_way, another = (_logits(model, [Example(e, hidden, (one,))]) for e in (encoded, other))
    torch.testing.assert_close(one_way, another)


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("A cat. A dog.", (2, 2)),
        ("A cat. A cow.", (1, 2)),
        ("A cat.", (1, 2)),
        ("A cat. A dog. A cow.", (2, 3)),
        ("", (0, 2)),
    ],
)
def test_sentences_are_compared_at_their_place(said: str, right: tuple[int, int]) -> None:
    assert compare(said, ["A cat.", "A dog."]) == right


def test_three_steps_train_and_save(
    processor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command as a user types it, at its smallest."""
    out, results = tmp_path / "model", tmp_path / "results.json"
    words = ["--steps", "3", "--lessons", "1", "--fresh", "1", "--out"]
    words += [str(out), "--results", str(results)]
    monkeypatch.setattr(sys, "argv", ["omni", *words, "--checkpoint", str(tmp_path / "kept")])
    monkeypatch.setattr(omni, "SAVE_EVERY", 2)
    monkeypatch.setattr(omni, "build_processor", lambda seed: processor)
    monkeypatch.setattr(omni_check, "MAX_NEW_TOKENS", 8)  # so little trained, it never ends
    omni.main()
    assert (out / "model.safetensors").is_file()
    assert set(json.loads(results.read_text())["sentences_exactly_right"]) == set(KINDS)
    assert (tmp_path / "kept" / "last.pt").is_file()


def test_training_lowers_the_loss_and_repeats(processor: Any) -> None:
    def trained() -> tuple[torch.Tensor, float]:
        model = build_model(processor.tokenizer, 0)
        omni.train(
            model,
            processor,
            0,
            omni.Schedule(steps=3, looks=1, listens=1, drills=1, batch=2, warmup=1, last=1),
        )
        drawn = next(omni.examples(Encoder(processor, model), 1, omni.Schedule(batch=4), 0))
        with torch.inference_mode():
            logits, targets, _ = omni.logits_and_targets(model, collate(drawn, 0))
        return model.lm_head.weight, functional.cross_entropy(logits, targets).item()

    (weights, loss), (again, _) = trained(), trained()
    assert torch.equal(weights, again)
    untrained = float(np.log(len(processor.tokenizer)))
    assert loss < untrained
