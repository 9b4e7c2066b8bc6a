"""Files of media as small arrays: thumbnails, frames, the loudness of sound.

Pillow, PyAV and soundfile are imported when they are needed, and only then missed. Whatever they
say of a file that they cannot read becomes an OmniTraceError. Knows no trace and no screen.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from omnitrace import OmniTraceError

Pixels = npt.NDArray[np.uint8]
"""(rows, columns, 3) RGB."""
Loudness = npt.NDArray[np.float32]

_MOST_PIXELS = 2**26
_MOST_SECONDS = 6 * 3600
_BLOCK_S = 4.0


def picture(path: Path, columns: int, rows: int) -> Pixels:
    """An image in exactly `rows` × `columns` pixels."""
    with _reading(path, "pillow"):
        from PIL import Image

        with Image.open(path) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError(f"{image.width} × {image.height} pixels are too many")
            image.draft("RGB", (columns * 2, rows * 2))
            small = image.convert("RGB").resize((columns, rows), Image.Resampling.BOX)
            return np.asarray(small, np.uint8)


def frames(path: Path, times: Sequence[float], columns: int, rows: int) -> list[Pixels]:
    """The frames of a film that are shown at `times`, ascending seconds, in small."""
    with _reading(path, "av"):
        import av

        found: list[Pixels] = []
        with av.open(str(path), options={"protocol_whitelist": "file"}) as film:
            for time in times:
                shown = _frame_at(film, time)
                if shown is None:
                    break
                small = shown.reformat(width=columns, height=rows, format="rgb24")
                found.append(np.asarray(small.to_ndarray(), np.uint8))
        if not found:
            raise ValueError("it shows nothing")
        return found


def loudness(path: Path, cells: int) -> Loudness:
    """(cells,) float32: the peak of each of so many equal stretches of sound, 1 the loudest."""
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


def _frame_at(film: Any, time: float) -> Any:
    stream = film.streams.video[0]
    film.seek(int(time / stream.time_base), stream=stream)
    last = None
    for frame in film.decode(stream):
        if frame.time is not None and frame.time > time + 1e-6 and last is not None:
            return last
        last = frame
    return last


def _blocks(path: Path) -> tuple[int, Iterator[Loudness]]:
    """How many samples a sound has, and these, one channel, a block after another."""
    if path.suffix.lower() == ".wav":
        try:
            return _wave_blocks(path)
        except (wave.Error, EOFError):
            pass  # not plain PCM: for those who know more
    try:
        import soundfile

        with soundfile.SoundFile(str(path)) as sound:
            total, rate = len(sound), sound.samplerate
        blocks = soundfile.blocks(str(path), int(rate * _BLOCK_S), dtype="float32", always_2d=True)
        return total, (block[:, 0] for block in blocks)
    except (ImportError, RuntimeError):
        return _av_blocks(path)


def _wave_blocks(path: Path) -> tuple[int, Iterator[Loudness]]:
    with wave.open(str(path)) as sound:
        width, channels, total = sound.getsampwidth(), sound.getnchannels(), sound.getnframes()
    if width != 2:
        raise wave.Error("not 16 bits")

    def blocks() -> Iterator[Loudness]:
        with wave.open(str(path)) as sound:
            while data := sound.readframes(int(sound.getframerate() * _BLOCK_S)):
                yield np.frombuffer(data, "<i2")[::channels].astype(np.float32)

    return total, blocks()


def _av_blocks(path: Path) -> tuple[int, Iterator[Loudness]]:
    """The sound of a film, or of a file that only PyAV knows, in 8 kHz."""
    import av

    with av.open(str(path), options={"protocol_whitelist": "file"}) as film:
        if not film.streams.audio:
            raise ValueError("it has no sound")
        resampler = av.AudioResampler(format="flt", layout="mono", rate=8000)
        pieces, seconds = [], 0.0
        for frame in film.decode(audio=0):
            small = [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
            pieces += small
            seconds += sum(map(len, small)) / 8000
            if seconds > _MOST_SECONDS:
                break
    whole = np.concatenate([np.zeros(0), *pieces]).astype(np.float32)
    return len(whole), iter([whole])


@contextmanager
def _reading(path: Path, needs: str) -> Iterator[None]:
    """Whatever a decoder says of a file becomes one sentence."""
    try:
        yield
    except ImportError as error:
        raise OmniTraceError(f"{path.name} is shown where {needs} is installed.") from error
    except (OSError, ValueError, RuntimeError, SyntaxError, IndexError, MemoryError) as error:
        raise OmniTraceError(f"{path.name} cannot be decoded: {error}.") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("PIL", "av", "soundfile"):
            raise OmniTraceError(f"{path.name} cannot be decoded: {error}.") from error
        raise
