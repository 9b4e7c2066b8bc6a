"""Segmenters: they cut audio into stretches, such as words or sentences with their times.

A segmenter is one file here and one line in `SEGMENTERS`, imported when it is named. Knows audio
files; not runs, tokens or replays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from omnitrace.arrays import Float32
from omnitrace.errors import CommandError, nearest
from omnitrace.timeline import Medium, Segments
from recorder.config import SegmentConfig

RATE = 16_000
"""Samples a second of the input of every recogniser here."""

SEGMENTERS = {
    "bins": "recorder.segmenters.bins",
    "transcript": "recorder.segmenters.transcript",
    "whisper": "recorder.segmenters.whisper",
    "paraformer": "recorder.segmenters.paraformer",
    "scribe": "recorder.segmenters.scribe",
}
"""Name → the module that has `load(config) -> Segmenter`."""


@dataclass(frozen=True)
class AudioClip:
    """The audio of one medium: `seconds` long, its file at `path` where the segmenter needs it.

    `sample` is the id of the sample whose only audio it is, else empty. Equal clips are cut once:
    neither `path` nor `sample` counts.
    """

    medium: Medium
    seconds: float
    path: Path | None = field(default=None, compare=False)
    sample: str = field(default="", compare=False)

    def samples(self) -> Float32:
        """(samples,) float32 mono at RATE; SampleError if the file cannot be decoded."""
        from recorder.inputs import media

        assert self.path is not None, "only for segmenters with needs_files"
        load = media.load_video_audio if self.medium.kind == "video" else media.load_audio
        return load(self.path, RATE)


class Segmenter(Protocol):
    """One way to cut audio. `name` is its segmentation's unless the user gives another;
    `needs_files`: whether it reads the media's files; `about` (JSON) is all
    that its result depends on."""

    name: str
    needs_files: bool

    @property
    def about(self) -> Mapping[str, Any]: ...

    def segments(self, clip: AudioClip) -> Segments:
        """The stretches of a clip; SampleError if this one, CommandError if none can be cut."""


def load_segmenter(name: str, config: SegmentConfig) -> Segmenter:
    """The segmenter of that name; CommandError if there is none, or what it needs is missing."""
    if name not in SEGMENTERS:
        raise CommandError(f"no segmenter '{name}': {nearest(name, list(SEGMENTERS))}.")
    try:
        segmenter: Segmenter = import_module(SEGMENTERS[name]).load(config)
    except ImportError as error:
        raise CommandError(
            f"the segmenter '{name}' needs {error.name}: pip install "
            f"'omnitrace-replay[{'paraformer' if name == 'paraformer' else 'record'}]'."
        ) from error
    return segmenter
