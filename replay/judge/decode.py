"""Audio as WAV and frames as JPEG out of media files. Knows no message and no server."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from omnitrace.errors import CommandError, SampleError
from omnitrace.media.decode import audio_blocks, opened

RATE = 16_000
LONGEST_SIDE = 512
"""Pixels of a video's frames: enough to recognise what is seen, and few tokens."""


def wav_of(path: Path) -> bytes | None:
    """The audio of a file as WAV, 16 kHz, one channel, 16 bits; None if it has none."""
    with _opened(path) as container:
        if not container.streams.audio:
            return None
        blocks = audio_blocks(container, "s16", "mono", RATE)
        return _wav(b"".join(block.tobytes() for _, block in blocks))


def _wav(samples: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples)
    return file.getvalue()


def frames_of(path: Path, most: int) -> list[tuple[float, bytes]]:
    """At most `most` frames of a video, one a second or fewer, evenly: (second, JPEG)."""
    with _opened(path) as container:
        if not container.streams.video:
            raise SampleError(f"{path} has no pictures")
        seconds = float(container.duration or 0) / 1e6
        step, after = max(1.0, seconds / most), 0.0
        found: list[tuple[float, bytes]] = []
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= after and len(found) < most:
                found.append((float(frame.time), _jpeg(frame)))
                after += step
    return found


def _jpeg(frame: Any) -> bytes:
    image, file = frame.to_image(), io.BytesIO()
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The open file; SampleError if it cannot be decoded."""
    try:
        import_module("PIL.Image")  # what turns frames into images
        with opened(path) as container:
            yield container
    except ImportError as error:
        raise CommandError(
            f"showing sound and film needs {error.name}: pip install 'omnitrace-replay[record]', "
            "or judge with --text-only."
        ) from error
    except (OSError, ValueError) as error:
        raise SampleError(f"cannot decode {path}: {error}") from error
