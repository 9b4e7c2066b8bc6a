"""One loaded model for all tests, and files such as a user would bring, made by code."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest
import soundfile
import torch

from recorder.config import TINY_OMNI
from recorder.inputs.samples import Sample, read_samples
from recorder.models.adapter import describe_model, load_adapter
from recorder.models.qwen_omni import QwenOmni
from recorder.models.settings import Weights
from recorder.passes.capture import install

WAV_SECONDS = 2.31
MP4_SECONDS = 4


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def adapter() -> QwenOmni:
    """The bundled model, ready to record."""
    loaded = load_adapter(describe_model(str(TINY_OMNI)), Weights("float32", "cpu"))
    assert isinstance(loaded, QwenOmni)
    install(loaded.model, loaded.decoder)
    return loaded


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photo.png (517×301, RGBA), speech.wav (22,050 Hz, stereo), film.mp4 (29.97 frames a second,
    320×240, H.264 and AAC), silent.mp4, tall.jpg (turned by EXIF)."""
    path = tmp_path_factory.mktemp("media")
    write_photo(path / "photo.png")
    write_turned(path / "tall.jpg")
    write_speech(path / "speech.wav")
    write_film(path / "film.mp4", sound=True)
    write_film(path / "silent.mp4", sound=False)
    return path


@pytest.fixture(scope="session")
def make_sample(folder: Path) -> Callable[..., Sample]:
    """A sample read from a file: texts as they are, media as `kind:name`."""

    def make(*parts: str, id: str = "sample") -> Sample:
        [sample] = read_samples(write_rows(folder, [{"id": id, "messages": [user(*parts)]}]))
        return sample

    return make


def user(*parts: str) -> dict[str, Any]:
    """A user message: `image:photo.png` becomes a picture, anything else a text."""
    content = []
    for part in parts:
        kind, _, name = part.partition(":")
        if kind in {"image", "audio", "video"}:
            content.append({"type": kind, kind: name})
        else:
            content.append({"type": "text", "text": part})
    return {"role": "user", "content": content}


def write_rows(folder: Path, rows: list[dict[str, Any]], name: str = "samples.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return path


def write_photo(path: Path) -> None:
    """Smooth colours under noise, half transparent on the right."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:301, 0:517]
    light = 120 + 60 * np.sin(x / 90) + 40 * np.cos(y / 50)
    pixels = np.stack([light, light * 0.8, 255 - light], axis=-1) + rng.normal(0, 9, (301, 517, 3))
    alpha = np.where(x < 400, 255, 128)[..., None]
    rgba = np.concatenate([pixels.clip(0, 255), alpha], axis=-1).astype(np.uint8)
    PIL.Image.fromarray(rgba, "RGBA").save(path)


def write_turned(path: Path) -> None:
    """64×32 pixels on disk, 32×64 as it should be seen; red was on the left and comes on top."""
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, :32, 0] = 255
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(pixels).save(path, exif=exif, quality=95)


def write_speech(path: Path, rate: int = 22_050) -> None:
    """Vowel-like buzz in syllables, the two channels unequally loud."""
    t = np.arange(round(WAV_SECONDS * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    voice = 0.2 * buzz * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * t))
    soundfile.write(path, np.stack([voice, 0.5 * voice], axis=1), rate)


def write_film(path: Path, sound: bool, rate: Fraction = Fraction(30_000, 1001)) -> None:
    """Frame i of MP4_SECONDS is uniformly grey, of shade 2 i; the sound is a 440 Hz tone."""
    with av.open(str(path), "w") as container:
        picture: Any = container.add_stream("h264", rate=rate)
        picture.width, picture.height, picture.pix_fmt = 320, 240, "yuv420p"
        voice: Any = container.add_stream("aac", rate=44_100, layout="mono") if sound else None
        for index in range(round(MP4_SECONDS * rate)):
            shade = np.full((240, 320, 3), 2 * index, np.uint8)
            container.mux(picture.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        container.mux(picture.encode())
        if sound:
            for frame in _tone(44_100):
                container.mux(voice.encode(frame))
            container.mux(voice.encode())


def _tone(rate: int) -> list[av.AudioFrame]:
    t = np.arange(MP4_SECONDS * rate) / rate
    samples = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    frames = []
    for start in range(0, len(samples), 1024):
        block = samples[None, start : start + 1024]
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, start
        frames.append(frame)
    return frames
