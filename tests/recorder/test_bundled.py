"""The bundled tiny omni model: loads offline, is small, and is right about what it is shown."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from transformers import (
    AutoProcessor,
    Qwen2_5OmniProcessor,
    Qwen2_5OmniThinkerForConditionalGeneration,
)

from recorder.config import TINY_OMNI
from recorder.planted.samples import KINDS, SPLITS
from training.omni_check import answer, measure

# transformers hands a tensor to numpy the old way where films have sound.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def model() -> Any:
    thinker: Any = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(TINY_OMNI)
    return thinker.eval()


@pytest.fixture(scope="module")
def processor() -> Any:
    """It fills every audio up to 30 s, not to 300 s: the model sees none of that silence."""
    found = Qwen2_5OmniProcessor.from_pretrained(TINY_OMNI)
    found.feature_extractor.n_samples //= 10
    return found


def test_it_is_at_most_12_megabytes() -> None:
    assert sum(path.stat().st_size for path in TINY_OMNI.rglob("*")) <= 12_000_000


def test_the_automatic_class_knows_its_processor() -> None:
    automatic: Any = AutoProcessor
    assert isinstance(automatic.from_pretrained(TINY_OMNI), Qwen2_5OmniProcessor)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_right_about_fresh_samples(model: Any, processor: Any, kind: str) -> None:
    """A smoke test; the numbers that count are in training/results/omni.json."""
    seeds = SPLITS["choose"][9_000:9_040]
    assert measure(model, processor, seeds, [kind])[kind] >= (0.94 if kind == "mixed" else 0.97)


@pytest.mark.parametrize("size", [(1, 1), (640, 97), (50, 2000)])
def test_pictures_of_any_size_go_through(
    model: Any, processor: Any, tmp_path: Path, size: tuple[int, int]
) -> None:
    PIL.Image.new("RGB", size, "orange").save(tmp_path / "a.png")
    messages = _ask({"type": "image", "image": "a.png"})
    assert isinstance(answer(model, processor, messages, tmp_path), str)


@pytest.mark.parametrize("seconds", [0.05, 9.3])
def test_sound_of_any_length_goes_through(
    model: Any, processor: Any, tmp_path: Path, seconds: float
) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, round(seconds * 16_000))
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.astype("<i2").tobytes())
    messages = _ask({"type": "audio", "audio": "a.wav"})
    assert isinstance(answer(model, processor, messages, tmp_path), str)


def test_frames_stay_few_tokens_without_saying_so(processor: Any) -> None:
    """The processor's class would enlarge every frame to 128 tokens or more."""
    frames = torch.zeros(4, 3, 480, 640, dtype=torch.uint8)
    text = processor.apply_chat_template(
        _ask({"type": "video", "video": "a.mp4"}), add_generation_prompt=True
    )
    inputs = processor(text=[text], videos=[frames], return_tensors="pt")
    frames_of_tokens, height, width = inputs["video_grid_thw"][0].tolist()
    assert frames_of_tokens == 2
    assert height * width // 4 <= 16


def _ask(part: dict[str, str]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [part, {"type": "text", "text": "\nWhat is this? 你好"}]}]
