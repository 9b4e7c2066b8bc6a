"""Drawing, sounding and coding of planted media: specification in, arrays or files out.

Images and videos are big shapes in saturated colours on a pale ground, so that lossy coding leaves
the evidence alone; tones lie well inside their second. Knows nothing of prompts, facts or models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import soundfile
from PIL import Image as Pillow
from PIL import ImageDraw

from omnitrace.arrays import Float32, Float64, UInt8

if TYPE_CHECKING:
    from pathlib import Path


SAMPLE_RATE = 16_000
VIDEO_FPS = 8
SCENE_SECONDS = 2

RGB = {
    "red": (214, 24, 28),
    "green": (20, 150, 40),
    "blue": (24, 60, 214),
    "yellow": (240, 214, 10),
    "purple": (140, 30, 160),
    "black": (12, 12, 12),
}
CENTRES = {
    "at the top": (0.5, 0.22),
    "at the bottom": (0.5, 0.78),
    "at the left": (0.22, 0.5),
    "at the right": (0.78, 0.5),
    "at the centre": (0.5, 0.5),
}
MOVES = {
    "to the left": (-1.0, 0.0),
    "to the right": (1.0, 0.0),
    "up": (0.0, -1.0),
    "down": (0.0, 1.0),
}
HERTZ = {"low": 240.0, "middle": 800.0, "high": 2600.0}


@dataclass(frozen=True)
class Image:
    """`pixels`: (height, width, 3) uint8."""

    pixels: UInt8


@dataclass(frozen=True)
class Audio:
    """`samples`: (n,) float32 in [-1, 1], mono."""

    samples: Float32
    rate: int = SAMPLE_RATE


@dataclass(frozen=True)
class Video:
    """`frames`: (n, height, width, 3) uint8 at `fps`; `sound` is exactly as long, or None."""

    frames: UInt8
    fps: int
    audio: Audio | None


@dataclass(frozen=True)
class ImageSpec:
    """A shape at a place."""

    shape: str
    colour: str
    place: str
    size: tuple[int, int]
    seed: int


@dataclass(frozen=True)
class AudioSpec:
    """Tones: (pitch, second) pairs, one a second at most."""

    tones: tuple[tuple[str, int], ...]
    seconds: int
    seed: int


@dataclass(frozen=True)
class VideoSpec:
    """Scenes of two seconds: (shape, colour, direction); silent when it has no tones."""

    scenes: tuple[tuple[str, str, str], ...]
    tones: tuple[tuple[str, int], ...]
    size: tuple[int, int]
    seed: int

    @property
    def seconds(self) -> int:
        return SCENE_SECONDS * len(self.scenes)


def render(spec: ImageSpec | AudioSpec | VideoSpec) -> Image | Audio | Video:
    """The arrays of a specification; the same specification gives the same arrays."""
    if isinstance(spec, ImageSpec):
        return _render_image(spec)
    if isinstance(spec, AudioSpec):
        return _render_tones(spec.tones, spec.seconds, spec.seed)
    return _render_video(spec)


def _ground(rng: np.random.Generator, size: tuple[int, int]) -> Pillow.Image:
    """A pale sheet, lit from the upper left: redder to the right, bluer to the bottom."""
    width, height = size
    down = np.linspace(0, 70, height)[:, np.newaxis] + np.zeros(width)
    across = np.zeros(height)[:, np.newaxis] + np.linspace(0, 70, width)
    light = 244 - rng.uniform(0, 8)
    pixels = light - np.stack([down, (down + across) / 2, across], axis=-1)
    return Pillow.fromarray(pixels.astype(np.uint8))


def _render_image(spec: ImageSpec) -> Image:
    rng = np.random.default_rng(spec.seed)
    width, height = spec.size
    canvas = _ground(rng, spec.size)
    x, y = CENTRES[spec.place]
    x += rng.uniform(-0.04, 0.04)
    y += rng.uniform(-0.04, 0.04)
    radius = min(spec.size) * rng.uniform(0.2, 0.23)
    _draw(canvas, spec.shape, spec.colour, (x * width, y * height), radius)
    return Image(np.asarray(canvas, dtype=np.uint8))


def _draw(
    canvas: Pillow.Image, shape: str, colour: str, centre: tuple[float, float], radius: float
) -> None:
    pen, ink = ImageDraw.Draw(canvas), RGB[colour]
    (x, y), r = centre, radius
    box = (x - r, y - r, x + r, y + r)
    if shape == "circle":
        pen.ellipse(box, fill=ink)
    elif shape == "ring":
        pen.ellipse(box, outline=ink, width=max(2, round(r * 0.4)))
    elif shape == "square":
        pen.rectangle((x - 0.9 * r, y - 0.9 * r, x + 0.9 * r, y + 0.9 * r), fill=ink)
    elif shape == "triangle":
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=ink)
    else:
        arm = 0.33 * r
        pen.rectangle((x - arm, y - r, x + arm, y + r), fill=ink)
        pen.rectangle((x - r, y - arm, x + r, y + arm), fill=ink)


def _render_video(spec: VideoSpec) -> Video:
    rng = np.random.default_rng(spec.seed)
    ground = _ground(rng, spec.size)
    frames = [frame for scene in spec.scenes for frame in _render_scene(scene, spec, ground, rng)]
    audio = _render_tones(spec.tones, spec.seconds, spec.seed + 1) if spec.tones else None
    return Video(np.stack(frames), VIDEO_FPS, audio)


def _render_scene(
    scene: tuple[str, str, str], spec: VideoSpec, ground: Pillow.Image, rng: np.random.Generator
) -> list[UInt8]:
    """The shape crosses the frame in its direction, off the middle line by a random amount."""
    shape, colour, direction = scene
    width, height = spec.size
    dx, dy = MOVES[direction]
    aside, reach = rng.uniform(-0.15, 0.15), rng.uniform(0.24, 0.3)
    radius = min(spec.size) * rng.uniform(0.2, 0.24)
    frames = []
    for along in np.linspace(-reach, reach, SCENE_SECONDS * VIDEO_FPS):
        x = 0.5 + dx * along + abs(dy) * aside
        y = 0.5 + dy * along + abs(dx) * aside
        canvas = ground.copy()
        _draw(canvas, shape, colour, (x * width, y * height), radius)
        frames.append(np.asarray(canvas, dtype=np.uint8))
    return frames


def _render_tones(tones: tuple[tuple[str, int], ...], seconds: int, seed: int) -> Audio:
    rng = np.random.default_rng(seed)
    samples = rng.normal(0.0, rng.uniform(0.001, 0.003), seconds * SAMPLE_RATE)
    for pitch, second in tones:
        start = round((second + rng.uniform(0.08, 0.15)) * SAMPLE_RATE)
        tone = _tone(pitch, rng)
        samples[start : start + len(tone)] += tone
    return Audio(samples.astype(np.float32))


def _tone(pitch: str, rng: np.random.Generator) -> Float64:
    """A tone of about 0.7 s with soft ends: a fixed pitch within a few per cent, or a glide."""
    time = np.arange(round(rng.uniform(0.65, 0.75) * SAMPLE_RATE)) / SAMPLE_RATE
    detune = rng.uniform(0.94, 1.06)
    if pitch == "rising":
        low, octaves = 400.0 * detune, 2.5 * time / time[-1]
        phase = 2 * math.pi * np.cumsum(low * 2**octaves) / SAMPLE_RATE
    else:
        phase = 2 * math.pi * HERTZ[pitch] * detune * time
    wave = np.sin(phase) + rng.uniform(0.0, 0.2) * np.sin(2 * phase)
    fade = np.minimum(1.0, np.minimum(time, time[::-1]) / 0.02)
    shaped: Float64 = rng.uniform(0.3, 0.6) * wave * fade
    return shaped


def write_image(image: Image, path: Path) -> None:
    Pillow.fromarray(image.pixels).save(path, format="PNG")


def write_audio(audio: Audio, path: Path) -> None:
    soundfile.write(path, audio.samples, audio.rate, subtype="PCM_16", format="WAV")


def write_video(video: Video, path: Path) -> None:
    """MP4: MPEG-4 images of high quality, and an AAC track where the video has audio."""
    with av.open(str(path), "w", format="mp4") as container:
        images = container.add_stream("mpeg4", rate=video.fps)
        images.height, images.width = video.frames.shape[1:3]
        images.pix_fmt = "yuv420p"
        images.bit_rate = 2_000_000
        audio = container.add_stream("aac", rate=video.audio.rate) if video.audio else None
        if audio is not None:
            audio.layout = "mono"
            audio.bit_rate = 96_000
        for index, pixels in enumerate(video.frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, video.fps)
            container.mux(images.encode(frame))
        container.mux(images.encode())
        if audio is not None and video.audio is not None:
            heard = av.AudioFrame.from_ndarray(
                video.audio.samples[np.newaxis, :], format="fltp", layout="mono"
            )
            heard.sample_rate, heard.pts = video.audio.rate, 0
            container.mux(audio.encode(heard))
            container.mux(audio.encode())
