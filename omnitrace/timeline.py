"""The timeline: what each of the n prompt tokens is, where and when.

Pure data over numpy arrays. Knows nothing of models, stores or how units are cut from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np

from omnitrace.arrays import Float64, Int32, UInt8


class Modality(IntEnum):
    """What a prompt token encodes. The audio of a video is AUDIO with the video as its medium."""

    TEXT = 0
    IMAGE = 1
    AUDIO = 2
    VIDEO = 3
    SPECIAL = 4

    @property
    def label(self) -> str:
        """The name used in JSON, TOML and on screen: `text`, `image`, …"""
        return self.name.lower()


@dataclass(frozen=True)
class Part:
    """One content part of the prompt's messages, in order: a text, or one medium.

    `role` is the message's (`system`, `user`, `assistant`); `kind` is `text`, `image`, `audio`
    or `video`; `medium` indexes `Trace.media`, -1 for a text.
    """

    role: str
    kind: str
    medium: int = -1


@dataclass(frozen=True)
class Medium:
    """One image, audio or video file of the prompt: referenced, never embedded.

    `duration_s` is None for images; `width` and `height` are in pixels, None for audio.
    """

    kind: str
    name: str
    sha256: str
    duration_s: float | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Timeline:
    """The prompt tokens, in order; every field has shape (n,) but `chars`, (n, 2).

    - `modality` uint8: a `Modality`;
    - `part` int32: index into `Trace.parts`; -1 for what the chat template adds;
    - `medium` int32: index into `Trace.media`; -1 where there is none;
    - `chars` int32: half-open character range in `Trace.prompt_text`; empty for media tokens;
    - `start_s`, `end_s` float64: seconds within the medium; NaN where it has no time;
    - `row`, `column`, `frame` int32: patch position on the medium's merged patch grid (frame
      counts groups of frames that share tokens); -1 where there is none.
    """

    modality: UInt8
    part: Int32
    medium: Int32
    chars: Int32
    start_s: Float64
    end_s: Float64
    row: Int32
    column: Int32
    frame: Int32

    def __len__(self) -> int:
        return len(self.modality)

    @classmethod
    def dtypes(cls) -> dict[str, np.dtype[Any]]:
        """The dtype of each field, by name; the store's columns."""
        wide: dict[str, np.dtype[Any]] = {
            "modality": np.dtype("u1"),
            "start_s": np.dtype("f8"),
            "end_s": np.dtype("f8"),
        }
        return {f.name: wide.get(f.name, np.dtype("i4")) for f in fields(cls)}

    @classmethod
    def blank(cls, n: int) -> Timeline:
        """n `special` tokens that belong to nothing: where an adapter begins."""
        none = {name: np.full(n, -1, np.int32) for name in ("part", "medium", "row", "column")}
        return cls(
            modality=np.full(n, Modality.SPECIAL, np.uint8),
            chars=np.zeros((n, 2), np.int32),
            start_s=np.full(n, np.nan),
            end_s=np.full(n, np.nan),
            frame=np.full(n, -1, np.int32),
            **none,
        )


@dataclass(frozen=True)
class Segments:
    """k segments of the audio of one medium, in the order in which they start.

    `start_s`, `end_s` (k,) float64: seconds within the medium, finite, 0 <= start <= end; `text`:
    k transcripts, empty where unknown. Segments may overlap or leave gaps.
    """

    start_s: Float64
    end_s: Float64
    text: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.text)

    @classmethod
    def of(cls, pieces: Iterable[tuple[float, float, str]]) -> Segments:
        """Segments of (start, end, text) in any order; ValueError if the times are not legal."""
        ordered = sorted(pieces, key=lambda piece: piece[:2])
        times = np.array([piece[:2] for piece in ordered], np.float64).reshape(-1, 2)
        start, end = np.ascontiguousarray(times.T)
        segments = cls(start, end, tuple(text for _, _, text in ordered))
        segments.check()
        return segments

    def check(self) -> None:
        """ValueError saying what is not legal."""
        if not self.start_s.shape == self.end_s.shape == (len(self),):
            raise ValueError("there are not as many starts as ends and texts")
        if not (np.isfinite(self.start_s).all() and np.isfinite(self.end_s).all()):
            raise ValueError("a time is no finite number")
        wrong = np.flatnonzero((self.start_s < 0) | (self.end_s < self.start_s))
        if wrong.size:
            start, end = float(self.start_s[wrong[0]]), float(self.end_s[wrong[0]])
            raise ValueError(f"a stretch from {start:g} to {end:g} s is none")
        if np.any(np.diff(self.start_s) < 0):
            raise ValueError("the stretches are not in the order of their starts")


@dataclass(frozen=True)
class Segmentation:
    """One way to cut the audio of a sample: medium index → its segments. Added to a recording."""

    name: str
    media: Mapping[int, Segments]
