"""Files to arrays: pictures, sound and film, decoded by Pillow, libsndfile and PyAV's own FFmpeg.

Whatever is wrong with a file is an OmniTraceError that names it and says what was expected. Knows
no model: the caller says which sampling rate and frame rate it wants.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps
import soundfile
import soxr

from omnitrace.errors import OmniTraceError

Float32 = npt.NDArray[np.float32]

MAX_FRAMES = 768
"""Frames of one film, as in Qwen's own preprocessing; a longer film gets fewer a second."""

MAX_FRAME_PIXELS = 1 << 20
"""Frames are scaled down to this while decoding: more than any processor keeps of a film."""

PICTURE = "a picture (PNG, JPEG, WebP, GIF, BMP, TIFF …)"
FILM = "a film (MP4, MOV, MKV, WebM, AVI …)"
_HALF_A_TICK = 1e-3


@dataclass(frozen=True)
class Video:
    """A film as a model sees it.

    `frames` (F, height, width, 3) uint8, frame k shown at second k / `fps`; `duration_s` of the
    picture; `width`, `height` of the file; `sound` (samples,) float32 mono from the first frame
    on, None if the film is silent.
    """

    frames: npt.NDArray[np.uint8]
    fps: float
    duration_s: float
    width: int
    height: int
    sound: Float32 | None


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes; OmniTraceError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise OmniTraceError(f"cannot read {path}: {error.strerror}.") from error


def load_image(path: Path) -> PIL.Image.Image:
    """The picture in RGB, upright (EXIF), transparency over white; the first of an animation."""
    with _decoding(path, PICTURE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        with PIL.Image.open(path) as file:
            image = PIL.ImageOps.exif_transpose(file)
        if image.has_transparency_data:
            paper = PIL.Image.new("RGBA", image.size, "white")
            image = PIL.Image.alpha_composite(paper, image.convert("RGBA"))
        return image.convert("RGB")


def load_audio(path: Path, rate: int) -> Float32:
    """(samples,) float32 mono at `rate` Hz."""
    with _decoding(path, "sound (WAV, FLAC, OGG, MP3, M4A, AAC …)"):
        try:
            samples, native = soundfile.read(path, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            with av.open(str(path)) as container:
                samples, native, _ = _decode_sound(container)
        sound = _mono(samples, native, rate)
    if not len(sound):
        raise OmniTraceError(f"{path} holds no sound: it has zero samples.")
    return sound


def affordable_fps(path: Path, fps: float) -> float:
    """`fps`, or what keeps the film within MAX_FRAMES."""
    with _decoding(path, FILM):
        return min(fps, MAX_FRAMES / _extent(path)[1])


def load_video(path: Path, fps: float, rate: int) -> Video:
    """The film at `fps` frames a second, its sound at `rate` Hz.

    Frame k is the one on screen at second k / fps.
    """
    with _decoding(path, FILM):
        start, duration = _extent(path)
        count = max(1, math.ceil(duration * fps - 0.25))
        frames, size = _decode_frames(path, start + np.arange(count) / fps)
        sound = _film_sound(path, start, rate)
    return Video(frames, fps, duration, *size, sound)


def load_film_sound(path: Path, rate: int) -> Float32:
    """(samples,) float32 mono at `rate` Hz, from the film's first frame on."""
    with _decoding(path, FILM):
        sound = _film_sound(path, _extent(path)[0], rate)
    if sound is None:
        raise OmniTraceError(f"{path} holds no sound.")
    return sound


@contextmanager
def _decoding(path: Path, expected: str) -> Iterator[None]:
    """One sentence for all that decoders raise. An own error passes as it is."""
    try:
        if path.stat().st_size == 0:
            raise OmniTraceError(f"{path} is empty; expected {expected}.")
        yield
    except (PIL.Image.DecompressionBombWarning, PIL.Image.DecompressionBombError) as error:
        raise OmniTraceError(f"{path} is too large a picture: {error}.") from error
    # SyntaxError is Pillow's word for a broken PNG; EOFError and ValueError come from truncation.
    except (OSError, av.FFmpegError, SyntaxError, ValueError, EOFError, ZeroDivisionError) as error:
        raise OmniTraceError(
            f"{path} cannot be decoded; expected {expected}: {_reason(error)}."
        ) from error


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")[:160]


def _extent(path: Path) -> tuple[float, float]:
    """Seconds at which the picture starts and for how long it lasts, from the packets' stamps."""
    with av.open(str(path)) as container:
        stream = _stream(container.streams.video, "picture")
        step = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        stamps = [
            float((packet.pts if packet.pts is not None else packet.dts) * packet.time_base)
            for packet in container.demux(stream)
            if packet.size and (packet.pts is not None or packet.dts is not None)
        ]
    if not stamps:
        raise OmniTraceError(f"{path} holds no frames.")
    return min(stamps), max(stamps) - min(stamps) + step


def _decode_frames(
    path: Path, times: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """(len(times), height, width, 3) uint8, the frame on screen at each time, and the true size.

    Every frame is decoded, in order: seeking is inexact in too many containers.
    """
    picked: list[npt.NDArray[np.uint8]] = []
    shown = None
    with av.open(str(path)) as container:
        stream = _stream(container.streams.video, "picture")
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            stamp = float(frame.time) if frame.time is not None else -math.inf
            while (
                shown is not None
                and len(picked) < len(times)
                and stamp > times[len(picked)] + _HALF_A_TICK
            ):
                picked.append(_pixels(shown))
            shown = frame
            if len(picked) == len(times):
                break
    if shown is None:
        raise OmniTraceError(f"{path} holds no frames that can be decoded.")
    if len(picked) < len(times):
        picked += [_pixels(shown)] * (len(times) - len(picked))
    size = (shown.height, shown.width) if shown.rotation % 180 else (shown.width, shown.height)
    return np.stack(picked), size


def _pixels(frame: Any) -> npt.NDArray[np.uint8]:
    """(height, width, 3) uint8, upright, within MAX_FRAME_PIXELS."""
    shrink = min(1.0, math.sqrt(MAX_FRAME_PIXELS / (frame.width * frame.height)))
    size = {"width": round(frame.width * shrink), "height": round(frame.height * shrink)}
    pixels = frame.to_ndarray(format="rgb24", **(size if shrink < 1 else {}))
    upright: npt.NDArray[np.uint8] = np.rot90(pixels, frame.rotation // 90)
    return upright


def _film_sound(path: Path, start: float, rate: int) -> Float32 | None:
    """The sound track from second `start` on; None if there is none or it is empty."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        samples, native, first = _decode_sound(container)
    late = round((first - start) * native)
    samples = np.pad(samples, ((late, 0), (0, 0))) if late > 0 else samples[-late:]
    return _mono(samples, native, rate) if len(samples) else None


def _decode_sound(container: Any) -> tuple[Float32, int, float]:
    """(samples, channels) float32, their rate, and the second at which they start."""
    stream = _stream(container.streams.audio, "sound")
    resampler = av.AudioResampler(format="fltp")
    blocks: list[npt.NDArray[Any]] = []
    first = None
    for frame in container.decode(stream):
        if first is None:
            first = float(frame.time or 0.0)
        blocks += [block.to_ndarray() for block in resampler.resample(frame)]
    if not blocks:
        return np.zeros((0, 1), np.float32), stream.rate, 0.0
    return np.concatenate(blocks, axis=1).T, stream.rate, first or 0.0


def _stream(streams: Any, what: str) -> Any:
    if not streams:
        raise ValueError(f"it has no {what} stream")
    return streams[0]


def _mono(samples: Float32, native: int, rate: int) -> Float32:
    """(samples,) float32 at `rate` from (samples, channels) at `native`."""
    mono: Float32 = samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise ValueError("its samples are not all finite numbers")
    if native == rate or not len(mono):
        return mono
    return np.asarray(soxr.resample(mono, native, rate), np.float32)
