"""The timeline: what each of the n prompt tokens is, where it lies and when.

Pure data over numpy arrays. Knows nothing of models, stores or how units are cut from it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Float64 = npt.NDArray[np.float64]


class Modality(IntEnum):
    """What a prompt token encodes. The sound of a video is AUDIO with the video as its medium."""

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

    modality: npt.NDArray[np.uint8]
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
