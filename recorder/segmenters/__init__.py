"""Segmenters: what cuts sound into stretches, such as words or sentences with their times.

A segmenter is one file here and one line in `SEGMENTERS`, imported when it is named. Knows sounds
and where their files lie; not runs, tokens or replays.
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
"""Samples a second that every recogniser here hears."""

SEGMENTERS = {
    "bins": "recorder.segmenters.bins",
    "transcript": "recorder.segmenters.transcript",
    "whisper": "recorder.segmenters.whisper",
    "paraformer": "recorder.segmenters.paraformer",
    "scribe": "recorder.segmenters.scribe",
}
"""Name → the module that has `load(config) -> Segmenter`."""


@dataclass(frozen=True)
class Sound:
    """The sound of one medium: `seconds` long, its file at `path` where the segmenter hears it.

    `sample` is the id of the sample whose only sound it is, else empty. Equal sounds are heard
    once: where they come from does not count.
    """

    medium: Medium
    seconds: float
    path: Path | None = field(default=None, compare=False)
    sample: str = field(default="", compare=False)

    def samples(self) -> Float32:
        """(samples,) float32 mono at RATE; SampleError if the file cannot be decoded."""
        from recorder.inputs import media

        assert self.path is not None, "only a segmenter that hears may ask for the samples"
        load = media.load_video_audio if self.medium.kind == "video" else media.load_audio
        return load(self.path, RATE)


class Segmenter(Protocol):
    """One way to cut sound. `name` is its segmentation's unless the user gives another; `hears`
    says whether it needs the media's files; `about` (JSON) is all that its result depends on."""

    name: str
    hears: bool

    @property
    def about(self) -> Mapping[str, Any]: ...

    def segments(self, sound: Sound) -> Segments:
        """The stretches of a sound; SampleError if this one, CommandError if none can be cut."""


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
