"""How units are cut: the choices, as data."""

from __future__ import annotations

from dataclasses import dataclass

from omnitrace.config import option
from omnitrace.units.text import TEXT_UNITS


@dataclass(frozen=True)
class UnitConfig:
    """How the timeline is cut into source units (paper §3.1)."""

    text: str = option(
        "sentence",
        f"text units: {'; '.join(units.help for units in TEXT_UNITS.values())}",
        choices=tuple(TEXT_UNITS),
    )
    request: str = option(
        "keep",
        "what becomes of the request itself (the last question or instruction of the last user "
        "message): a source like others; one that competes but is never named; the same, and a "
        "span of which it would be the only source is mapped again to the other units; none",
        choices=("keep", "unnamed", "remap", "leave-out"),
    )
    image: str = option(
        "whole", "image units: one an image, or a grid of cells", choices=("whole", "grid")
    )
    grid: int = option(2, "cells a side when image = grid", bounds=(1, 32, 1))
    audio_segments: str = option(
        "",
        "audio units, also of videos: the stretches of this segmentation, which `omnitrace "
        "segment` added; empty: time bins",
    )
    audio_seconds: float = option(
        1.0, "length of an audio unit in seconds", bounds=(0.04, 3600, 0.5)
    )
    video: str = option(
        "united",
        "video units: time bins of vision and audio together, or each apart; or time bins of "
        "vision or of audio (sound) alone",
        choices=("united", "apart", "vision", "sound"),
    )
    video_seconds: float = option(
        1.0, "length of a video unit in seconds unless video = apart", bounds=(0.04, 3600, 0.5)
    )
    vision_seconds: float = option(
        0.0,
        "length of a unit of vision in seconds when video = apart, audio then in audio_seconds; 0: "
        "a group of frames, audio likewise",
        bounds=(0.0, 3600, 0.5),
    )
    file: str = option(
        "",
        "a JSON-lines file of units of your own; the parts of a sample that it cuts have those "
        "units alone",
    )
