"""What units are, and what they are made of while they are being cut. Pure data over arrays."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from omnitrace.arrays import Bool, Float64, Int32, Int64, UInt8
from omnitrace.timeline import Modality


@dataclass(frozen=True)
class Units:
    """m source units S_1…S_m, in the order of their first token; disjoint.

    - `id`: `text-0`, `image-1`, `audio-0:2-3` …, unique and stable for one UnitConfig;
      `label`: for people; `text`: the unit's words, of audio those that a segmentation gives; None
      for other media;
    - `modality` (m,) uint8, `medium` (m,) int32 (-1 for text);
    - `start_s`, `end_s` (m,) float64, NaN where there is no time;
    - `box` (m, 4) float64: x0, y0, x1, y1 as fractions of the image; NaN where there is none;
    - `unnamed` (m,) bool: units that compete for steps but are never named as sources;
    - `ranges` (R, 2) int32: half-open token ranges, unit after unit; `offset` (m+1,) int32:
      unit j owns `ranges[offset[j]:offset[j+1]]`, never empty.
    """

    id: tuple[str, ...]
    label: tuple[str, ...]
    text: tuple[str | None, ...]
    modality: UInt8
    medium: Int32
    start_s: Float64
    end_s: Float64
    box: Float64
    unnamed: Bool
    ranges: Int32
    offset: Int32

    def __len__(self) -> int:
        return len(self.id)

    @property
    def owner(self) -> Int32:
        """(R,) int32: the unit of each range."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.offset))

    @property
    def sizes(self) -> Int64:
        """(m,) int64: how many tokens each unit has."""
        if not len(self):
            return np.zeros(0, np.int64)
        sizes: Int64 = np.add.reduceat(np.diff(self.ranges)[:, 0], self.offset[:-1], dtype=np.int64)
        return sizes

    def owner_of_tokens(self, n: int) -> Int32:
        """(n,) int32: the unit of each of the prompt's n tokens, -1 for none."""
        owner = np.full(n, -1, np.int32)
        for unit, (start, end) in zip(self.owner.tolist(), self.ranges.tolist(), strict=True):
            owner[start:end] = unit
        return owner


class Kind(IntEnum):
    """What a unit is made of: a piece of text, (a cell of) an image, a stretch of an audio file, of
    a video, or of a video's audio alone, or what a user defined."""

    TEXT = 0
    IMAGE = 1
    AUDIO = 2
    VIDEO = 3
    VIDEO_AUDIO = 4
    USER = 5


MODALITY = np.array(
    [Modality.TEXT, Modality.IMAGE, Modality.AUDIO, Modality.VIDEO, Modality.AUDIO], np.uint8
)
"""The modality of each kind but USER."""


@dataclass
class Cut:
    """The unit of each prompt token while units are being cut; all fields have shape (n,).

    A unit is a (`kind`, `item`, `cell`) triple: a piece of a part's or a message's text, a cell of
    an image, a stretch of a medium, a unit of the user's. `kind` is a `Kind`, or -1 for tokens in
    no unit; `start_s`, `end_s` are the unit's.
    """

    kind: Int64
    item: Int64
    cell: Int64
    start_s: Float64
    end_s: Float64

    @classmethod
    def blank(cls, n: int) -> Cut:
        none = {name: np.full(n, -1, np.int64) for name in ("kind", "item", "cell")}
        return cls(start_s=np.full(n, np.nan), end_s=np.full(n, np.nan), **none)

    def put(self, tokens: Bool, kind: int, item: Int32, cell: Int64) -> None:
        """Give the n' chosen tokens their units; `item`, `cell` (n',)."""
        self.kind[tokens], self.item[tokens], self.cell[tokens] = kind, item, cell

    def drop(self, tokens: Bool) -> None:
        """Let the chosen tokens, (n,) bool, be in no unit."""
        self.kind[tokens] = -1
        self.start_s[tokens] = self.end_s[tokens] = np.nan

    @property
    def key(self) -> Int64:
        """One integer a unit, -1 for none."""
        packed = (self.kind << 56) | (self.item << 32) | self.cell
        return np.where(self.kind < 0, -1, packed)


@dataclass(frozen=True)
class Pieces:
    """Text units before tokens: `ranges` (K, 2) int32 characters of the prompt's text, ascending
    and disjoint; `group` (parts,) int32: parts of one group may share a unit, each is the first
    part of its group. A piece ends with its group."""

    ranges: Int32
    group: Int32


def ranges_by_key(keys: Int64) -> tuple[Int32, Int32]:
    """Maximal token ranges by unit, the units in the order of their first token, and offsets.

    `keys` (n,): one number a unit, -1 for tokens in none.
    """
    edges = np.flatnonzero(np.diff(keys, prepend=-1, append=-1))
    ranges = np.stack([edges[:-1], edges[1:]], axis=1).astype(np.int32)
    key = keys[ranges[:, 0]]
    ranges, key = ranges[key >= 0], key[key >= 0]
    _, first, sizes = np.unique(key, return_index=True, return_counts=True)
    order = np.argsort(np.repeat(first, sizes), kind="stable")
    ranges = ranges[np.argsort(key, kind="stable")][order]
    offset = np.concatenate([[0], np.cumsum(sizes[np.argsort(first)])])
    return ranges, offset.astype(np.int32)
