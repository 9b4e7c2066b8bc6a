"""Files and bytes to arrays: images, audio and video, decoded by Pillow, libsndfile and FFmpeg.

Whatever is wrong with a source is a SampleError that names it and says what was expected. Knows
no model: the caller says which sampling rate, frame rate and number of pixels it wants.
"""

from __future__ import annotations

import hashlib
import io
import math
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
import soundfile
import soxr

from omnitrace.arrays import Float32, Float64, UInt8
from omnitrace.errors import SampleError
from omnitrace.media.decode import audio_blocks, opened
from omnitrace.text import one_line

Source = Path | bytes
"""A file, or what it holds."""

MAX_FRAMES = 768
"""Frames of one video, as in Qwen's own preprocessing; a longer video gets fewer a second."""

MAX_FRAME_PIXELS = 1 << 20
"""Frames are scaled down to this while decoding: more than any processor keeps of a video."""

IMAGE = "an image (PNG, JPEG, WebP, GIF, BMP, TIFF …)"
AUDIO = "audio (WAV, FLAC, OGG, MP3, M4A, AAC …)"
VIDEO = "a video (MP4, MOV, MKV, WebM, AVI …)"
_HALF_A_TICK = 1e-3


@dataclass(frozen=True)
class Limits:
    """Bounds on width × height of an image or of a video's frames; None: none."""

    min_pixels: int | None = None
    max_pixels: int | None = None

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """The size of like aspect ratio within the bounds, rounded towards them.

        Where no whole numbers of pixels obey both bounds, `max_pixels` holds. The aspect ratio
        changes only where one side is a single pixel.
        """
        least, most = self.min_pixels or 1, self.max_pixels or math.inf
        if least <= width * height <= most:
            return width, height
        if width * height < least:
            scale = math.sqrt(least / (width * height))
            larger = math.ceil(width * scale), math.ceil(height * scale)
            if larger[0] * larger[1] <= most:
                return larger
        scale = math.sqrt(most / (width * height))
        short = max(1, math.floor(min(width, height) * scale))
        long = min(math.floor(max(width, height) * scale), int(most) // short)
        return (short, long) if width < height else (long, short)


ANY_SIZE = Limits()


@dataclass(frozen=True)
class Video:
    """A video as a model sees it.

    `frames` (F, height, width, 3) uint8; frame k is shown at second `seconds[k]` = k / `fps`, (F,)
    float64. `duration_s` of its images; `width`, `height`, `native_fps` and `total_frames` of the
    file; `audio` (samples,) float32 mono from the first frame on, None if the video is silent.
    """

    frames: UInt8
    fps: float
    duration_s: float
    width: int
    height: int
    audio: Float32 | None
    seconds: Float64
    native_fps: float
    total_frames: int


def named(source: Source) -> str:
    """How a source is called in messages."""
    if isinstance(source, Path):
        return one_line(str(source), 400)
    return f"the data: URL of {len(source)} bytes"


def file_sha256(source: Source) -> str:
    """Hex digest of the bytes of a source; SampleError if a file cannot be read."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    try:
        _size(source)
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:  # ValueError: a path that holds NUL
        raise SampleError(f"cannot read {named(source)}: {_reason(error)}.") from error


def load_image(source: Source) -> PIL.Image.Image:
    """The image in RGB, upright (EXIF), transparency over white; the first of an animation."""
    with _decoding(source, IMAGE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        with PIL.Image.open(_readable(source)) as file:
            image = PIL.ImageOps.exif_transpose(file)
        if image.has_transparency_data:
            paper = PIL.Image.new("RGBA", image.size, "white")
            image = PIL.Image.alpha_composite(paper, image.convert("RGBA"))
        return image.convert("RGB")


def resized(image: PIL.Image.Image, limits: Limits) -> PIL.Image.Image:
    """The image within the bounds, by bicubic interpolation; itself where it lies within them."""
    size = limits.fit(*image.size)
    return image if size == image.size else image.resize(size, PIL.Image.Resampling.BICUBIC)


def load_audio(source: Source, rate: int) -> Float32:
    """(samples,) float32 mono at `rate` Hz."""
    with _decoding(source, AUDIO):
        try:
            samples, native = soundfile.read(_readable(source), dtype="float32", always_2d=True)
        # TypeError: libsndfile takes files that end in .raw for samples without a header.
        except (soundfile.LibsndfileError, TypeError):
            with opened(source) as container:
                samples, native, _ = _decode_audio(container)
        audio = _mono(samples, native, rate)
    if not len(audio):
        raise SampleError(f"{named(source)} holds no audio: it has zero samples.")
    return audio


def affordable_fps(source: Source, fps: float) -> float:
    """`fps`, or what keeps the video within MAX_FRAMES."""
    with _decoding(source, VIDEO):
        return min(fps, MAX_FRAMES / _extent(source).duration_s)


def load_video(source: Source, fps: float, rate: int, limits: Limits = ANY_SIZE) -> Video:
    """The video at `fps` frames a second within `limits`, its audio at `rate` Hz.

    Frame k is the one on screen at second k / fps.
    """
    with _decoding(source, VIDEO):
        extent = _extent(source)
        seconds = np.arange(max(1, math.ceil(extent.duration_s * fps - 0.25))) / fps
        frames, size = _decode_frames(source, extent.start_s + seconds, limits)
        audio = _video_audio(source, extent.start_s, rate)
    return Video(
        frames, fps, extent.duration_s, *size, audio, seconds, extent.fps, extent.frame_count
    )


def video_of_frames(
    images: Iterable[PIL.Image.Image], fps: float, limits: Limits = ANY_SIZE
) -> Video:
    """A silent video of images of one size, `fps` of them a second; each is shown for 1 / fps.

    SampleError if there are none, more than MAX_FRAMES, or one has another size than the first.
    """
    frames: list[UInt8] = []
    size = (0, 0)
    for number, image in enumerate(images, 1):
        size = size if frames else image.size
        if image.size != size:
            raise SampleError(
                f"frame {number} has {image.width}×{image.height} pixels and the first one "
                f"{size[0]}×{size[1]}: give frames of one size."
            )
        if number > MAX_FRAMES:
            raise SampleError(f"there are more than {MAX_FRAMES} frames: give fewer.")
        frames.append(np.asarray(resized(resized(image, Limits(None, MAX_FRAME_PIXELS)), limits)))
    if not frames:
        raise SampleError("there are no frames: give at least one image.")
    count = len(frames)
    return Video(
        np.stack(frames), fps, count / fps, *size, None, np.arange(count) / fps, fps, count
    )


def load_video_audio(source: Source, rate: int) -> Float32:
    """(samples,) float32 mono at `rate` Hz of a video's audio, from its first frame on."""
    with _decoding(source, VIDEO):
        audio = _video_audio(source, _extent(source).start_s, rate)
    if audio is None:
        raise SampleError(f"{named(source)} holds no sound.")
    return audio


@contextmanager
def _decoding(source: Source, expected: str) -> Iterator[None]:
    """One sentence for all that decoders raise. An own error passes as it is."""
    try:
        if _size(source) == 0:
            raise SampleError(f"{named(source)} is empty; expected {expected}.")
        yield
    except (PIL.Image.DecompressionBombWarning, PIL.Image.DecompressionBombError) as error:
        raise SampleError(f"{named(source)} is too large an image: {error}.") from error
    # Pillow raises SyntaxError for a broken PNG; EOFError and ValueError come from truncation.
    except (OSError, SyntaxError, ValueError, EOFError, ZeroDivisionError) as error:
        raise SampleError(
            f"{named(source)} cannot be decoded; expected {expected}: {_reason(error)}."
        ) from error


def _size(source: Source) -> int:
    """Bytes of a source; SampleError for what is no file: opening a pipe would wait for ever."""
    if isinstance(source, bytes):
        return len(source)
    found = source.stat()
    if not stat.S_ISREG(found.st_mode):
        raise SampleError(f"{named(source)} is no file but a folder, pipe or device: name a file.")
    return found.st_size


def _readable(source: Source) -> str | io.BytesIO:
    """What Pillow and libsndfile open."""
    return io.BytesIO(source) if isinstance(source, bytes) else str(source.absolute())


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")[:160]


@dataclass(frozen=True)
class _Extent:
    """The images of a video file: when they start, for how long they last, how many they are."""

    start_s: float
    duration_s: float
    fps: float
    frame_count: int


def _extent(source: Source) -> _Extent:
    """From the packets' stamps, which unlike headers do not lie."""
    with opened(source) as container:
        stream = _stream(container.streams.video, "video")
        fps = float(stream.average_rate or stream.guessed_rate or 25)
        stamps = [
            float((packet.pts if packet.pts is not None else packet.dts) * packet.time_base)
            for packet in container.demux(stream)
            if packet.size and (packet.pts is not None or packet.dts is not None)
        ]
    if not stamps:
        raise SampleError(f"{named(source)} holds no frames.")
    return _Extent(min(stamps), max(stamps) - min(stamps) + 1 / fps, fps, len(stamps))


def _decode_frames(source: Source, times: Float64, limits: Limits) -> tuple[UInt8, tuple[int, int]]:
    """(len(times), height, width, 3) uint8, the frame on screen at each time, and the true size.

    Every frame is decoded, in order: seeking is inexact in too many containers.
    """
    picked: list[UInt8] = []
    shown = None
    with opened(source) as container:
        stream = _stream(container.streams.video, "video")
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            stamp = float(frame.time) if frame.time is not None else -math.inf
            while (
                shown is not None
                and len(picked) < len(times)
                and stamp > times[len(picked)] + _HALF_A_TICK
            ):
                picked.append(_pixels(shown, limits))
            shown = frame
            if len(picked) == len(times):
                break
    if shown is None:
        raise SampleError(f"{named(source)} holds no frames that can be decoded.")
    if len(picked) < len(times):
        picked += [_pixels(shown, limits)] * (len(times) - len(picked))
    size = (shown.height, shown.width) if shown.rotation % 180 else (shown.width, shown.height)
    return np.stack(picked), size


def _pixels(frame: Any, limits: Limits) -> UInt8:
    """(height, width, 3) uint8, upright, within MAX_FRAME_PIXELS and then within `limits`."""
    shrink = min(1.0, math.sqrt(MAX_FRAME_PIXELS / (frame.width * frame.height)))
    size = {"width": round(frame.width * shrink), "height": round(frame.height * shrink)}
    pixels = frame.to_ndarray(format="rgb24", **(size if shrink < 1 else {}))
    upright: UInt8 = np.rot90(pixels, frame.rotation // 90)
    height, width = upright.shape[:2]
    if limits.fit(width, height) == (width, height):
        return upright
    return np.asarray(resized(PIL.Image.fromarray(upright), limits))


def _video_audio(source: Source, start: float, rate: int) -> Float32 | None:
    """The audio track from second `start` on; None if there is none or it is empty."""
    with opened(source) as container:
        if not container.streams.audio:
            return None
        samples, native, first = _decode_audio(container)
    late = round((first - start) * native)
    samples = np.pad(samples, ((late, 0), (0, 0))) if late > 0 else samples[-late:]
    return _mono(samples, native, rate) if len(samples) else None


def _decode_audio(container: Any) -> tuple[Float32, int, float]:
    """(samples, channels) float32, their rate, and the second at which they start."""
    stream = _stream(container.streams.audio, "audio")
    blocks = list(audio_blocks(container, "fltp"))
    if not blocks:
        return np.zeros((0, 1), np.float32), stream.rate, 0.0
    samples = np.concatenate([block for _, block in blocks], axis=1).T
    return samples, stream.rate, float(blocks[0][0] or 0.0)


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
