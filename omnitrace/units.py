"""Source units: labelled subsets of the timeline, cut at replay so one recording serves them all.

Pure functions from a trace's stored timeline to token ranges. Knows no signal and no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from omnitrace.config import knob
from omnitrace.timeline import Float64, Int32

if TYPE_CHECKING:
    from omnitrace.trace import Trace


@dataclass(frozen=True)
class UnitConfig:
    """How the timeline is cut into source units (DESIGN §5)."""

    text: str = knob(
        "sentence",
        "text units: recorded sentences; the release's (bare list markers join what follows); "
        "whole content parts",
        choices=("sentence", "release", "part"),
    )
    image: str = knob(
        "whole", "image units: one an image, or a grid of cells", choices=("whole", "grid")
    )
    grid: int = knob(2, "cells a side when image = grid", bounds=(1, 32, 1))
    audio_seconds: float = knob(1.0, "length of an audio unit in seconds", bounds=(0.04, 3600, 0.5))
    video: str = knob(
        "united",
        "video units: time bins of vision and sound together, or each apart",
        choices=("united", "apart"),
    )
    video_seconds: float = knob(
        1.0, "length of a video unit in seconds (its sound too)", bounds=(0.04, 3600, 0.5)
    )


@dataclass(frozen=True)
class Units:
    """m source units S_1…S_m, in the order of their first token; disjoint.

    - `id`: `text-0`, `image-1`, `audio-0:2-3` …, unique and stable for one UnitConfig;
      `label`: for people; `text`: the unit's words, None for media;
    - `modality` (m,) uint8, `medium` (m,) int32 (-1 for text);
    - `start_s`, `end_s` (m,) float64, NaN where there is no time;
    - `box` (m, 4) float64: x0, y0, x1, y1 as fractions of the image; NaN where there is none;
    - `ranges` (R, 2) int32: half-open token ranges, unit after unit; `offset` (m+1,) int32:
      unit j owns `ranges[offset[j]:offset[j+1]]`, never empty.
    """

    id: tuple[str, ...]
    label: tuple[str, ...]
    text: tuple[str | None, ...]
    modality: npt.NDArray[np.uint8]
    medium: Int32
    start_s: Float64
    end_s: Float64
    box: Float64
    ranges: Int32
    offset: Int32

    def __len__(self) -> int:
        return len(self.id)

    @property
    def owner(self) -> Int32:
        """(R,) int32: the unit of each range."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.offset))


def cut_units(trace: Trace, config: UnitConfig) -> Units:
    """The source units of `trace`'s prompt under `config`."""
    raise NotImplementedError
