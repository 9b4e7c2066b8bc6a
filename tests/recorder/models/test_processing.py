"""A prompt and its media through the processors of the toys: options, reports, refusals."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Medium
from recorder.inputs.loaded import Loaded
from recorder.inputs.media import Video
from recorder.models import processing
from tests.recorder.families.models import checkpoint
from tests.recorder.toys import hf


@cache
def processor(family: str) -> Any:
    return hf.AutoProcessor.from_pretrained(checkpoint(family))


@cache
def tokenizer(family: str) -> Any:
    return hf.AutoTokenizer.from_pretrained(checkpoint(family))


def image(width: int = 112, height: int = 112) -> Loaded:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return Loaded(Medium("image", "a.png", ""), image=PIL.Image.fromarray(pixels))


def video(frames: int = 4, fps: float = 2.0, sound: Any = None) -> Loaded:
    pixels = np.zeros((frames, 112, 112, 3), np.uint8)
    seconds = np.arange(frames) / fps
    made = Video(pixels, fps, frames / fps, 112, 112, None, seconds, 25.0, 100)
    return Loaded(Medium("video", "a.mp4", ""), video=made, audio=sound)


def audio(seconds: float = 1.0, rate: int = 16_000) -> Loaded:
    samples = np.random.default_rng(0).normal(size=round(seconds * rate)).astype(np.float32)
    return Loaded(Medium("audio", "a.wav", "", seconds), audio=samples)


@pytest.mark.parametrize(
    ("family", "kinds"),
    [
        ("qwen2_5_vl", {"image": "<|image_pad|>", "video": "<|video_pad|>"}),
        ("gemma3", {"image": "<start_of_image>"}),
        ("llava", {"image": "<image>"}),
        ("internvl", {"image": "<IMG_CONTEXT>", "video": "<video>"}),
        ("qwen2_audio", {"audio": "<|AUDIO|>"}),
        ("mistral3", {"image": "[IMG]"}),
    ],
)
def test_the_media_that_a_processor_takes(family: str, kinds: dict[str, str]) -> None:
    assert processing.takes(processor(family)) == kinds


@pytest.mark.parametrize("family", ["llama3", "mistral", "gemma2", "deepseek_v3", "qwen3"])
@pytest.mark.parametrize("begun", [True, False])
def test_a_tokenizer_adds_nothing_to_the_templates_text(family: str, begun: bool) -> None:
    tokens = tokenizer(family)
    prompt = ((tokens.bos_token or "") if begun else "") + "Look at it"
    found = processing.process(tokens, prompt, [])
    assert found.ids.tolist() == tokens(prompt, add_special_tokens=False)["input_ids"]
    assert found.ids.dtype == np.int32
    assert found.report is None
    assert set(found.inputs) >= {"input_ids", "attention_mask"}
    assert found.options == {"add_special_tokens": False}


@pytest.mark.parametrize("family", ["gemma3", "llava", "mistral3", "llama4"])
def test_a_processor_adds_bos_once(family: str) -> None:
    """Where the template has not written it."""
    tokens = processor(family).tokenizer
    for prompt in (tokens.bos_token + "Look", "Look"):
        found = processing.process(processor(family), prompt, [])
        assert found.ids.tolist().count(tokens.bos_token_id) == 1
        assert found.ids[0] == tokens.bos_token_id
        assert found.ids.tolist() == tokens(prompt, **found.options)["input_ids"]


def test_what_is_reported_of_placeholders() -> None:
    prompt = (
        "A<|vision_start|><|image_pad|><|vision_end|>B<|vision_start|><|video_pad|><|vision_end|>"
    )
    found = processing.process(processor("qwen2_5_vl"), prompt, [video(), image()])
    assert found.report is not None
    assert [one["type"] for one in found.report] == ["image", "video"]
    spans = [prompt[slice(*one["span"])] for one in found.report]
    assert spans == ["<|image_pad|>", "<|video_pad|>"]
    assert set(found.inputs).isdisjoint(processing.NOT_INPUTS)
    assert found.inputs["image_grid_thw"].tolist() == [[1, 8, 8]]
    assert found.inputs["pixel_values"].dtype == torch.float32


def test_a_prompt_without_media_has_an_empty_report() -> None:
    found = processing.process(processor("qwen2_5_vl"), "Look", [])
    assert found.report == []


@pytest.mark.parametrize(("fps", "pair"), [(0.5, 4.0), (1.0, 2.0), (2.0, 1.0), (4.0, 0.5)])
def test_videos_are_those_of_the_frames_that_were_decoded(fps: float, pair: float) -> None:
    """No frame is left out, and seconds follow from their rate."""
    found = processing.process(processor("qwen2_5_vl"), "<|video_pad|>", [video(6, fps)])
    assert found.inputs["video_grid_thw"][:, 0].tolist() == [3]
    assert [float(each) for each in found.inputs["second_per_grid_ts"]] == [pair]


def test_the_audio_of_a_video_is_not_an_audio() -> None:
    found = processing.process(processor("qwen2_5_vl"), "<|video_pad|>", [video(sound=np.ones(9))])
    assert found.report is not None
    assert [one["type"] for one in found.report] == ["video"]


def test_several_audios() -> None:
    prompt = "<|AUDIO|> and <|AUDIO|>"
    found = processing.process(processor("qwen2_audio"), prompt, [audio(1.0), audio(2.0)])
    assert found.report is not None
    first, second = (len(one["replacement"]) for one in found.report)
    assert second > first


def test_long_prompts_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a tokenizer's configuration says of lengths is for training."""
    for family in ("qwen3", "llama3"):
        monkeypatch.setattr(tokenizer(family), "model_max_length", 5)
        assert len(processing.process(tokenizer(family), "one two three " * 5, []).ids) > 5
    own = processor("qwen2_5_vl")
    monkeypatch.setattr(own.tokenizer, "model_max_length", 5)
    assert len(processing.process(own, "one two three " * 5, []).ids) > 5


@pytest.mark.parametrize(
    ("family", "prompt", "media"),
    [
        ("qwen2_5_vl", "<|image_pad|><|image_pad|>", [image()]),
        ("qwen2_5_vl", "<|image_pad|>", [image(1000, 2)]),
        ("gemma3", "<start_of_image><start_of_image>", [image()]),
        ("llava", "<image> <image>", [image()]),
        ("qwen2_audio", "<|AUDIO|><|AUDIO|>", [audio()]),
        ("qwen2_audio", "<|AUDIO|>", [audio(), audio()]),
    ],
)
def test_what_a_processor_refuses_is_one_sentence(
    family: str, prompt: str, media: list[Loaded]
) -> None:
    with pytest.raises(OmniTraceError, match=r"processor refuses the sample: \w") as caught:
        processing.process(processor(family), prompt, media)
    assert "\n" not in str(caught.value)


def test_the_device_that_has_too_little_memory_is_not_the_samples_fault() -> None:
    def refuse(**_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    refuse.bos_token = None  # type: ignore[attr-defined]
    with pytest.raises(torch.OutOfMemoryError):
        processing.process(refuse, "Look", [])


def test_inputs_on_the_models_device_and_in_its_dtype() -> None:
    model = SimpleNamespace(device=torch.device("cpu"), dtype=torch.bfloat16)
    given = {"a": torch.ones(2), "b": [torch.ones(1), torch.ones(1, dtype=torch.long)], "c": True}
    found = {key: processing.to_model(value, model) for key, value in given.items()}
    assert found["a"].dtype == torch.bfloat16
    assert [each.dtype for each in found["b"]] == [torch.bfloat16, torch.long]
    assert found["c"] is True


def test_the_ids_of_media_tokens() -> None:
    """As configurations name them, wherever; else as the processor does."""
    config = SimpleNamespace(image_token_id=5, video_token_index=None, text_config=None)
    inner = SimpleNamespace(audio_config=SimpleNamespace(audio_token_index=7), image_token_id=-1)
    own = SimpleNamespace(image_token_id=9, video_token_id=10)
    assert processing.media_ids(own, config) == {5}
    assert processing.media_ids(own, inner) == {7}
    assert processing.media_ids(own, SimpleNamespace()) == {9, 10}
    assert processing.media_ids(SimpleNamespace(), SimpleNamespace()) == frozenset()
