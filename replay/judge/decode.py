"""Sound and pictures out of media files, by PyAV, imported only here and only when it is used."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from omnitrace.errors import CommandError, OmniTraceError

RATE = 16_000
LONGEST_SIDE = 512
"""Pixels of a film's pictures: enough to tell what is seen, and few tokens."""


def wav_of(path: Path) -> bytes | None:
    """The sound of a file as WAV, 16 kHz, one channel, 16 bits; None if it has none."""
    av, samples = _av(), bytearray()
    with _opened(path) as container:
        if not container.streams.audio:
            return None
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                samples += piece.to_ndarray().tobytes()
        for piece in resampler.resample(None):
            samples += piece.to_ndarray().tobytes()
    return _wav(bytes(samples))


def _wav(samples: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples)
    return file.getvalue()


def frames_of(path: Path, most: int) -> list[tuple[float, bytes]]:
    """At most `most` pictures of a film, one a second or fewer, evenly: (second, JPEG)."""
    with _opened(path) as container:
        if not container.streams.video:
            raise OmniTraceError(f"{path} has no pictures")
        seconds = float(container.duration or 0) / 1e6
        step, after = max(1.0, seconds / most), 0.0
        found: list[tuple[float, bytes]] = []
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= after and len(found) < most:
                found.append((float(frame.time), _jpeg(frame)))
                after += step
    return found


def _jpeg(frame: Any) -> bytes:
    picture, file = frame.to_image(), io.BytesIO()
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The open file; OmniTraceError if it cannot be decoded."""
    av = _av()
    try:
        with av.open(str(path)) as container:
            yield container
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise OmniTraceError(f"cannot decode {path}: {error}") from error


def _av() -> Any:
    try:
        import_module("PIL.Image")  # what turns frames into pictures
        return import_module("av")
    except ImportError as error:
        raise CommandError(
            f"showing sound and film needs {error.name}: pip install 'omnitrace-replay[record]', "
            "or judge with --text-only."
        ) from error
