"""Stretches of equal length. Knows durations only."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from omnitrace.timeline import Segments
from recorder.config import SegmentConfig
from recorder.segmenters import AudioClip

_FUZZ = 1e-9


@dataclass(frozen=True)
class Bins:
    """Stretches of `length` seconds from the start; the last one ends with the audio."""

    length: float
    needs_files: bool = False

    @property
    def name(self) -> str:
        return f"bins-{self.length:g}"

    @property
    def about(self) -> dict[str, Any]:
        return {"segmenter": "bins", "seconds": self.length}

    def segments(self, clip: AudioClip) -> Segments:
        starts = [k * self.length for k in range(ceil(clip.seconds / self.length - _FUZZ))]
        return Segments.of((start, min(start + self.length, clip.seconds), "") for start in starts)


def load(config: SegmentConfig) -> Bins:
    return Bins(config.seconds)
