"""What is claimed of a family, each claim a function that raises AssertionError where it fails."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.timeline import Modality
from recorder.inputs.loaded import Loaded
from recorder.inputs.loaded import load as load_medium
from recorder.inputs.samples import Sample
from recorder.models.adapter import Prepared
from recorder.models.day import fixed_day
from recorder.models.processing import audio_processor, to_model
from recorder.models.render import chat_of
from recorder.passes import decoder as text_decoder
from recorder.passes.batch import fits
from recorder.passes.decoder import is_recurrent
from recorder.passes.generate import Answer, GenerationOptions, force, generate
from recorder.passes.masked import Masked
from recorder.passes.observers import CaptureOptions
from recorder.signals import GRADIENT_SIGNALS, SIGNALS
from tests.recorder.answers import answer_one
from tests.recorder.families.models import (
    SETTINGS,
    can_double,
    eager,
    plain,
    prompts,
    sample,
    watched,
)
from tests.recorder.passes.test_batch import ATOL, assert_same
from tests.recorder.passes.test_capture import rows_of

STEPS = 3
OMNI = {"qwen2_5_omni", "qwen3_omni"}
STRINGS = {"granite_speech"}
ENCODED = {"voxtral"}
OPTIONS = GenerationOptions(max_new_tokens=STEPS)
MODALITIES = {"image": Modality.IMAGE, "video": Modality.VIDEO, "audio": Modality.AUDIO}


def wanted(family: str) -> CaptureOptions:
    """All signals that the family's attention allows."""
    weighs = watched(family)[1].weighs
    names = [name for name, signal in SIGNALS.items() if weighs or not signal.needs_norms]
    signals = {name: SIGNALS[name] for name in names}
    return CaptureOptions(signals, gradients=GRADIENT_SIGNALS)


@cache
def prepared(family: str, kind: str, double: bool = False) -> Prepared:
    return watched(family, double)[0].prepare(sample(*prompts(family)[kind]))


def transformers_inputs(family: str, asked: Sample) -> dict[str, Any]:
    """What transformers' own `apply_chat_template` makes of the messages and their media."""
    adapter: Any = plain(family)
    with fixed_day(adapter.processor, SETTINGS.date):
        return _transformers_inputs(family, adapter.processor, asked)


def _transformers_inputs(family: str, processor: Any, asked: Sample) -> dict[str, Any]:
    messages = chat_of(asked.messages, str)
    rate = getattr(audio_processor(processor), "sampling_rate", 16_000)
    media = [load_medium(content, SETTINGS.fps, rate) for content in asked.media]
    options: dict[str, Any] = {
        "tokenize": True,
        "return_dict": True,
        "return_tensors": "pt",
        "add_generation_prompt": not asked.continues,
        "continue_final_message": asked.continues,
        "tools": [dict(tool) for tool in asked.tools] or None,
    }
    if not media and not hasattr(processor, "tokenizer"):
        messages = [_joined(message) for message in messages]
        return dict(processor.apply_chat_template(messages, **options))
    if family in STRINGS:
        return _from_text(processor, messages, media)
    given = iter(media)
    for message in messages:
        for part in message.get("content", ()):
            if part["type"] != "text":
                part[part["type"]] = _decoded(next(given))
    if family in ENCODED:
        _encode_audio(messages, rate)
    videos = [one.video for one in media if one.video is not None]
    if videos:
        metadata = [
            {
                "total_num_frames": len(video.frames),
                "fps": video.fps,
                "duration": video.duration_s,
                "frames_indices": list(range(len(video.frames))),
            }
            for video in videos
        ]
        options["processor_kwargs"] = {"video_metadata": metadata, "do_sample_frames": False}
        if family in OMNI:  # these take no metadata
            options["processor_kwargs"]["fps"] = videos[0].fps
    if family in ENCODED:
        options = {}  # its own defaults, which none may change
    with warnings.catch_warnings():
        # transformers hands torch scalars to numpy 2; harmless.
        warnings.filterwarnings("ignore", "__array__ impl", DeprecationWarning)
        found = processor.apply_chat_template(messages, **options)
    return {key: value for key, value in found.items() if key != "video_metadata"}


def _from_text(
    processor: Any, messages: list[dict[str, Any]], media: list[Loaded]
) -> dict[str, Any]:
    """Where a template takes no parts, users write the placeholders into the text themselves."""
    for message in messages:
        texts = [part.get("text", processor.audio_token) for part in message["content"]]
        message["content"] = "".join(texts)
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    audio = {"audio": [one.audio for one in media]} if media else {}
    return dict(processor(text=[text], return_tensors="pt", **audio))


def _encode_audio(messages: list[dict[str, Any]], rate: int) -> None:
    """As mistral_common takes audio: a WAV file in base64."""
    for message in messages:
        for part in message["content"]:
            if part["type"] == "audio":
                file = io.BytesIO()
                soundfile.write(file, part.pop("audio"), rate, "FLOAT", format="WAV")
                part["base64"] = base64.b64encode(file.getvalue()).decode()


def _decoded(one: Loaded) -> Any:
    if one.video is not None:
        return one.video.frames
    return one.audio if one.image is None else one.image


def _joined(message: dict[str, Any]) -> dict[str, Any]:
    if "content" not in message:
        return message
    return {**message, "content": "".join(part["text"] for part in message["content"])}


def check_prompt(family: str, kind: str) -> None:
    """The prompt's ids are transformers' own, and every medium's tokens are where they are."""
    asked = sample(*prompts(family)[kind])
    found = plain(family).prepare(asked)
    expected = transformers_inputs(family, asked)["input_ids"][0].tolist()
    assert found.prompt.prompt_ids.tolist() == expected
    texts = "".join(part.text for message in asked.messages for part in message.parts)
    assert "".join(found.prompt.prompt_text.split()) == "".join(texts.split())
    line = found.prompt.timeline
    for medium, one in enumerate(found.prompt.media):
        own = line.medium == medium
        tokens = own & (line.modality == MODALITIES[one.kind])
        assert tokens.any()
        region = np.flatnonzero(own)
        assert region[-1] - region[0] + 1 == len(region)
        assert set(line.part[own]) == {found.prompt.parts.index(_part(found, medium))}
        if one.kind != "image":
            _check_seconds(found, tokens, one.duration_s or 0.0)
    assert (line.modality == Modality.TEXT).any()


def _part(found: Prepared, medium: int) -> Any:
    return next(part for part in found.prompt.parts if part.medium == medium)


def _check_seconds(found: Prepared, tokens: Any, duration: float) -> None:
    starts, ends = found.prompt.timeline.start_s[tokens], found.prompt.timeline.end_s[tokens]
    assert starts[0] == 0
    assert (np.diff(starts) >= 0).all()
    assert (starts < ends).all()
    assert ends[-1] <= duration + 1e-9
    assert ends[-1] > duration - 0.2


def forward(model: Any, inputs: dict[str, Any], before: list[int]) -> Any:
    """One forward pass over the prompt and the generated tokens `before`, attentions kept."""
    new = torch.tensor([before], dtype=torch.long)
    given = dict(inputs)
    given["attention_mask"] = torch.ones(1, inputs["input_ids"].shape[1] + len(before)).long()
    if "inputs_embeds" in given:
        more = model.get_input_embeddings()(new)
        given["inputs_embeds"] = torch.cat([given["inputs_embeds"], more], dim=1)
        del given["input_ids"]
    else:
        given["input_ids"] = torch.cat([given["input_ids"], new], dim=1)
    for name in ("token_type_ids", "mm_token_type_ids"):
        if name in given:
            given[name] = torch.cat([given[name], torch.zeros_like(new)], dim=1)
    return model(**given, output_attentions=True, use_cache=False)


@lru_cache(maxsize=1)
def eager_passes(family: str, kind: str) -> list[Any]:
    """An eager forward pass, with gradients, for each token of the recorded answer."""
    double = can_double(family, kind)
    inputs, ids = prepared(family, kind, double).inputs, recorded(family, kind, double).ids.tolist()
    assert ids
    return [forward(eager(family, double), dict(inputs), ids[:t]) for t in range(len(ids))]


def check_capture(family: str, kind: str) -> None:
    """Rows equal those of eager forward passes to 1e-6, in float32 to 4e-6."""
    double = can_double(family, kind)
    n, answer = prepared(family, kind, double).prompt.n, recorded(family, kind, double)
    ids, passes = answer.ids.tolist(), eager_passes(family, kind)
    bound = 1e-6 if double else 4e-6
    means, lasts = (rows_of(answer.signals[name], n, len(ids)) for name in ("attmean", "rawatt"))
    for t, (token, out) in enumerate(zip(ids, passes, strict=True)):
        assert int(out.logits[0, -1].argmax()) == token
        last = torch.stack([layer[0, :, -1].detach() for layer in attentions_of(out)])
        np.testing.assert_allclose(means[t], last.mean((0, 1)), atol=bound, rtol=0)
        np.testing.assert_allclose(lasts[t], last[-1].mean(0), atol=bound, rtol=0)


def check_gradients(family: str, kind: str) -> None:
    """Gradients equal autograd's on eager forward passes to 1e-5 of the largest product."""
    double = can_double(family, kind)
    n, answer = prepared(family, kind, double).prompt.n, recorded(family, kind, double)
    ids, passes = answer.ids.tolist(), eager_passes(family, kind)
    rows = {name: rows_of(answer.signals[name], n, len(ids)) for name in GRADIENTS}
    for t, (token, out) in enumerate(zip(ids, passes, strict=True)):
        attentions = attentions_of(out)
        gradient = torch.autograd.grad(out.logits[0, -1, token], attentions, retain_graph=True)
        pairs = zip(attentions, gradient, strict=True)
        signed = torch.stack([(a * g)[0, :, -1].mean(0) for a, g in pairs]).detach()
        bound = 1e-5 * float(signed.abs().max())
        assert bound > 0
        for name in GRADIENTS:
            expected = GRADIENT_SIGNALS[name].reduce(signed)
            np.testing.assert_allclose(rows[name][t], expected, atol=bound, rtol=0)


def attentions_of(out: Any) -> list[torch.Tensor]:
    """Of the layers that attend."""
    return [layer for layer in out.attentions if layer is not None]


@cache
def recorded(family: str, kind: str, double: bool) -> Answer:
    adapter, one = watched(family, double)[0], prepared(family, kind, double)
    return answer_one(adapter, one, OPTIONS, wanted(family))


GRADIENTS = ("attgrads", "attgrads-last")


def bound(family: str) -> float:
    """Within which two traces are one. Recurrences compute in float32 whatever the model does, and
    in other chunks where a prompt is passed otherwise."""
    return 4e-5 if is_recurrent(plain(family).model.config) else ATOL


def check_tokens(family: str, kind: str) -> None:
    """The tokens are plain `generate`'s from transformers' own inputs."""
    adapter, one, model = watched(family)[0], prepared(family, kind), plain(family).model
    # Gradients are of a pass after the tokens, which they cannot change.
    answer = answer_one(adapter, one, OPTIONS, replace(wanted(family), gradients={}))
    inputs = dict(one.inputs)
    if "inputs_embeds" not in inputs:
        own = transformers_inputs(family, sample(*prompts(family)[kind]))
        inputs = {key: to_model(own[key], model) for key in inputs}
    tokens = model.generate(**inputs, max_new_tokens=STEPS, do_sample=False)[0].tolist()
    expected = tokens[one.prompt.n :]
    if answer.finish == "eos":
        assert expected.pop() in adapter.eos_ids
    assert answer.ids.tolist() == expected


def check_given(family: str, kind: str) -> None:
    """A given answer leaves the trace that generating it left."""
    double = can_double(family, kind)
    adapter, one = watched(family, double)[0], prepared(family, kind, double)
    answer = recorded(family, kind, double)
    [given] = force(adapter, [one], [answer.ids], wanted(family))
    assert_same(answer, given, bound(family))


def check_batch(family: str, kind: str) -> None:
    """Samples in a batch leave the traces that they leave alone."""
    double = can_double(family, kind)
    adapter, parts = watched(family, double)[0], prompts(family)[kind]
    texts = (*parts[:-1], "Who owns the lamp, and since when?")
    both = [adapter.prepare(sample(*each)) for each in (parts, texts)]
    assert both[0].prompt.n != both[1].prompt.n
    assert fits(both[0].inputs, both[1].inputs)
    together = generate(adapter, both, OPTIONS, wanted(family))
    alone = recorded(family, kind, double), answer_one(adapter, both[1], OPTIONS, wanted(family))
    for one, answer in zip(alone, together, strict=True):
        assert_same(one, answer, bound(family))


def check_pieces(family: str, kind: str) -> None:
    """A prompt that passes the decoder in pieces leaves the trace that it leaves as a whole."""
    double = can_double(family, kind)
    adapter, one = watched(family, double)[0], prepared(family, kind, double)
    whole = recorded(family, kind, double)
    size, text_decoder.PIECE = text_decoder.PIECE, 16
    try:
        pieces = answer_one(adapter, one, OPTIONS, wanted(family))
    finally:
        text_decoder.PIECE = size
    assert_same(whole, pieces, bound(family))


def check_masked(family: str, kind: str) -> None:
    """Log-odds under masks are those of literal attention masks, and without a mask the answer's.

    Where the decoder cannot be masked that way, it says so.
    """
    double = can_double(family, kind)
    adapter, one = watched(family, double)[0], prepared(family, kind, double)
    answer = recorded(family, kind, double)
    visible = np.ones((3, one.prompt.n), bool)
    hidden = np.random.default_rng(0).random((2, one.prompt.n - 13)) < 0.5
    visible[1:, 5:-8] = hidden
    if reason := NOT_MASKED.get(family, NOT_MASKED.get((family, kind))):
        with pytest.raises((CommandError, OmniTraceError), match=reason):
            Masked(adapter, one).log_odds(answer.ids, visible)
        return
    passing = Masked(adapter, one)
    found = passing.log_odds(answer.ids, visible)
    np.testing.assert_allclose(-np.logaddexp(0, -found[0]), answer.logprob, atol=1e-4)
    passing.windowed = True  # the literal one: every token passes, hidden ones are masked
    np.testing.assert_allclose(passing.log_odds(answer.ids, visible), found, atol=1e-3)
    assert passing.answers(visible[:1], STEPS)[0] == answer.ids.tolist()


NOT_MASKED: dict[Any, str] = {
    **dict.fromkeys(("qwen3_5", "lfm2_vl"), "layers that carry a state"),
    **dict.fromkeys([("phi4_multimodal", k) for k in ("image", "audio", "all")], "told more"),
    ("gemma3", "image"): "told more",
}
"""Families, or prompts of them, of which masks are refused, and the words that say why."""
