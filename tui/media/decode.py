"""Media files as small arrays: thumbnails, frames, the loudness of audio.

Pillow, PyAV and soundfile are imported when they are needed. What they raise for a file that they
cannot read becomes a SampleError. Knows no trace and no screen.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from omnitrace.arrays import Float32, UInt8
from omnitrace.errors import SampleError
from omnitrace.media.decode import audio_blocks, opened

_MOST_PIXELS = 2**26
_MOST_SECONDS = 6 * 3600
_BLOCK_S = 4.0


def image(path: Path, columns: int, rows: int) -> UInt8:
    """(rows, columns, 3) RGB: an image, its aspect ratio not kept."""
    with _reading(path, "pillow"):
        from PIL import Image

        with Image.open(path) as file:
            if file.width * file.height > _MOST_PIXELS:
                raise ValueError(f"{file.width} × {file.height} pixels are too many")
            file.draft("RGB", (columns * 2, rows * 2))
            small = file.convert("RGB").resize((columns, rows), Image.Resampling.BOX)
            return np.asarray(small, np.uint8)


def frames(path: Path, times: Sequence[float], columns: int, rows: int) -> list[UInt8]:
    """(rows, columns, 3) RGB each: the frames of a video that are shown at `times`, ascending
    seconds; fewer where the video ends before."""
    found: list[UInt8] = []
    with _reading(path, "av"), opened(path) as video:
        for time in times:
            shown = _frame_at(video, time)
            if shown is None:
                break
            small = shown.reformat(width=columns, height=rows, format="rgb24")
            found.append(np.asarray(small.to_ndarray(), np.uint8))
        if not found:
            raise ValueError("it shows nothing")
    return found


def loudness(path: Path, cells: int) -> Float32:
    """(cells,) float32: the peak of that many equal parts of the audio, 1 the loudest."""
    peaks = np.zeros(cells, np.float32)
    with _reading(path, "soundfile or av"):
        at = 0
        total, blocks = _blocks(path)
        for block in blocks:
            place = ((at + np.arange(len(block))) * cells) // max(total, 1)
            np.maximum.at(peaks, np.minimum(place, cells - 1), np.abs(block))
            at += len(block)
    top = float(peaks.max(initial=0.0))
    return peaks / np.float32(top) if top > 0 else peaks


def _frame_at(video: Any, time: float) -> Any:
    """The frame shown at a time, found by a seek: exact enough for a thumbnail, and fast."""
    stream = video.streams.video[0]
    video.seek(int(time / stream.time_base), stream=stream)
    last = None
    for frame in video.decode(stream):
        if frame.time is not None and frame.time > time + 1e-6 and last is not None:
            return last
        last = frame
    return last


def _blocks(path: Path) -> tuple[int, Iterator[Float32]]:
    """How many samples an audio file has, and these, of one channel, block by block."""
    if path.suffix.lower() == ".wav":
        try:
            return _wave_blocks(path)
        except (wave.Error, EOFError):
            pass  # not plain PCM: other decoders read more
    try:
        import soundfile

        with soundfile.SoundFile(str(path)) as audio:
            total, rate = len(audio), audio.samplerate
        blocks = soundfile.blocks(str(path), int(rate * _BLOCK_S), dtype="float32", always_2d=True)
        return total, (block[:, 0] for block in blocks)
    except (ImportError, RuntimeError):
        return _av_blocks(path)


def _wave_blocks(path: Path) -> tuple[int, Iterator[Float32]]:
    with wave.open(str(path)) as audio:
        width, channels, total = audio.getsampwidth(), audio.getnchannels(), audio.getnframes()
    if width != 2:
        raise wave.Error("not 16 bits")

    def blocks() -> Iterator[Float32]:
        with wave.open(str(path)) as audio:
            while data := audio.readframes(int(audio.getframerate() * _BLOCK_S)):
                yield np.frombuffer(data, "<i2")[::channels].astype(np.float32)

    return total, blocks()


def _av_blocks(path: Path) -> tuple[int, Iterator[Float32]]:
    """The audio of a video, or of a file that only PyAV reads, at 8 kHz."""
    pieces, count = [], 0
    with opened(path) as container:
        if not container.streams.audio:
            raise ValueError("it has no sound")
        for _, block in audio_blocks(container, "flt", "mono", 8000):
            pieces.append(block[0])
            count += len(block[0])
            if count > _MOST_SECONDS * 8000:
                break
    samples = np.concatenate([np.zeros(0), *pieces]).astype(np.float32)
    return len(samples), iter([samples])


@contextmanager
def _reading(path: Path, needs: str) -> Iterator[None]:
    """What a decoder raises for a file becomes one sentence."""
    try:
        yield
    except ImportError as error:
        raise SampleError(f"{path.name} is shown where {needs} is installed.") from error
    except (OSError, ValueError, RuntimeError, SyntaxError, IndexError, MemoryError) as error:
        raise SampleError(f"{path.name} cannot be decoded: {error}.") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "PIL":
            raise SampleError(f"{path.name} cannot be decoded: {error}.") from error
        raise
