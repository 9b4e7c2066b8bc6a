"""Frames and samples of media files, by FFmpeg. PyAV is imported when a file is opened.

Knows no recording and no words for users: callers say which medium could not be decoded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from omnitrace.arrays import Array


class Undecodable(ValueError):
    """What FFmpeg says of a file. `strerror` is the same without the file's name."""

    def __init__(self, error: Any) -> None:
        super().__init__(str(error))
        self.strerror: str = error.strerror


@contextmanager
def opened(source: Path | bytes) -> Iterator[Any]:
    """The `av.container.InputContainer` of a file or of its bytes.

    Undecodable for whatever FFmpeg raises until it is closed, OSError if the file cannot be read,
    ImportError where PyAV is not installed. FFmpeg reads from an open file and no protocol is
    allowed to it, so that a playlist opens neither another file nor an address.
    """
    import av

    try:
        with (
            io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file,
            av.open(file, options={"protocol_whitelist": ""}) as container,
        ):
            yield container
    except av.FFmpegError as error:
        raise Undecodable(error) from error


def audio_blocks(
    container: Any, format: str, layout: str | None = None, rate: int | None = None
) -> Iterator[tuple[float | None, Array]]:
    """The first audio stream, converted: (seconds, samples) block by block.

    `format` and `layout` are FFmpeg's names, `rate` is in Hz; None leaves the stream's. Samples are
    (channels, samples), or (1, samples x channels) where `format` is packed. The seconds are those
    of the decoded frame that completed the block, None where it has none and after the last frame.
    """
    import av

    resampler = av.AudioResampler(format=format, layout=layout, rate=rate)
    for frame in chain(container.decode(audio=0), [None]):
        for block in resampler.resample(frame):
            yield None if frame is None else frame.time, block.to_ndarray()
