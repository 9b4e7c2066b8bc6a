"""Source units: labelled subsets of the timeline, cut at replay so one recording serves them all.

Pure functions from a trace's stored timeline to token ranges. Knows no signal and no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from omnitrace.config import knob
from omnitrace.sentences import containing, first_visible, release_sentences
from omnitrace.timeline import Float64, Int32, Modality, Segments

if TYPE_CHECKING:
    from omnitrace.trace import Trace

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

_FUZZ = 1e-9
"""Bins are half-open; a boundary is a boundary in spite of floating point."""


@dataclass(frozen=True)
class UnitConfig:
    """How the timeline is cut into source units (DESIGN §5)."""

    text: str = knob(
        "sentence",
        "text units: recorded sentences; the release's (cut at newlines, bare list markers join "
        "what follows, lone ASCII marks left out); whole content parts",
        choices=("sentence", "release", "part"),
    )
    image: str = knob(
        "whole", "image units: one an image, or a grid of cells", choices=("whole", "grid")
    )
    grid: int = knob(2, "cells a side when image = grid", bounds=(1, 32, 1))
    audio_segments: str = knob(
        "",
        "audio units, also of films' sound: the stretches of this segmentation, which `omnitrace "
        "segment` added; empty: time bins",
    )
    audio_seconds: float = knob(1.0, "length of an audio unit in seconds", bounds=(0.04, 3600, 0.5))
    video: str = knob(
        "united",
        "video units: time bins of vision and sound together, or each apart, a unit a group of "
        "frames",
        choices=("united", "apart"),
    )
    video_seconds: float = knob(
        1.0, "length of a video unit in seconds when video = united", bounds=(0.04, 3600, 0.5)
    )


@dataclass(frozen=True)
class Units:
    """m source units S_1…S_m, in the order of their first token; disjoint.

    - `id`: `text-0`, `image-1`, `audio-0:2-3` …, unique and stable for one UnitConfig;
      `label`: for people; `text`: the unit's words, of sound those that a segmentation gives; None
      for other media;
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

    def owner_of_tokens(self, n: int) -> Int32:
        """(n,) int32: the unit of each of the prompt's n tokens, -1 for none."""
        owner = np.full(n, -1, np.int32)
        for unit, (start, end) in zip(self.owner.tolist(), self.ranges.tolist(), strict=True):
            owner[start:end] = unit
        return owner


@dataclass
class _Cut:
    """The unit of each prompt token while units are being cut; all fields have shape (n,).

    A unit is a (`kind`, `item`, `cell`) triple: a `_TEXT` piece of a part, a cell of an image, a
    stretch of a medium. `kind` is -1 for tokens in no unit; `start_s`, `end_s` are the unit's.
    """

    kind: Int64
    item: Int64
    cell: Int64
    start_s: Float64
    end_s: Float64

    @classmethod
    def blank(cls, n: int) -> _Cut:
        none = {name: np.full(n, -1, np.int64) for name in ("kind", "item", "cell")}
        return cls(start_s=np.full(n, np.nan), end_s=np.full(n, np.nan), **none)

    def put(self, tokens: Bool, kind: int, item: Int32, cell: Int64) -> None:
        """Give the n' chosen tokens their units; `item`, `cell` (n',)."""
        self.kind[tokens], self.item[tokens], self.cell[tokens] = kind, item, cell

    @property
    def key(self) -> Int64:
        """One integer a unit, -1 for none."""
        packed = (self.kind << 56) | (self.item << 32) | self.cell
        return np.where(self.kind < 0, -1, packed)


_Said: TypeAlias = tuple[Int32, Mapping[int, Segments]]
"""What units say: text pieces (K, 2), characters of the prompt, and the stretches of speech."""

_TEXT, _IMAGE, _AUDIO, _VIDEO, _SOUND = range(5)
_MODALITY = np.array(
    [Modality.TEXT, Modality.IMAGE, Modality.AUDIO, Modality.VIDEO, Modality.AUDIO]
)
_RELEASE_SKIPS = np.array([ord(mark) for mark in "\n!\"#$%&'()*+,-./"], np.uint32)


def cut_units(trace: Trace, config: UnitConfig) -> Units:
    """The source units of `trace`'s prompt under `config` (paper §3.1; DESIGN §5).

    Text units hold the text tokens of content parts; a token belongs to the sentence in which its
    first non-space character lies (a blank one: its first character), so blank tokens between
    sentences belong to none. Media units hold the tokens of their medium, by the midpoint of the
    token's time. What the chat template adds belongs to no unit.

    Under a segmentation, a medium in which it has stretches has those as its units of sound, for
    a film beside its units of vision; of stretches that overlap the later one counts, and what
    lies between them belongs to none, as a pause does. A medium without stretches keeps its time
    bins. Raises NotAdded if the prompt has sound and no such segmentation.
    """
    cut = _Cut.blank(trace.n)
    pieces = _pieces(trace, config.text)
    speech = _speech(trace, config)
    _cut_text(cut, trace, config, pieces)
    _cut_images(cut, trace, config)
    _cut_audio(cut, trace, config)
    _cut_video(cut, trace, config)
    for medium, segments in speech.items():
        _cut_speech(cut, trace, medium, segments)
    return _collect(cut, trace, config, (pieces, speech))


def _speech(trace: Trace, config: UnitConfig) -> Mapping[int, Segments]:
    """The media whose sound is cut by a segmentation, with their stretches."""
    sound = trace.timeline.modality == Modality.AUDIO
    if not config.audio_segments or not sound.any():
        return {}
    chosen = trace.segmentation(config.audio_segments)
    return {medium: segments for medium, segments in chosen.media.items() if len(segments)}


def _pieces(trace: Trace, text: str) -> Int32:
    if text == "part":
        return np.array([[0, len(trace.prompt_text)]], np.int32)
    if text == "release":
        return release_sentences(trace.prompt_text, trace.prompt_sentences)
    return trace.prompt_sentences


def _cut_text(cut: _Cut, trace: Trace, config: UnitConfig, pieces: Int32) -> None:
    line = trace.timeline
    visible = first_visible(trace.prompt_text, line.chars)
    piece = containing(np.where(visible < 0, line.chars[:, 0], visible), pieces)
    tokens = (line.modality == Modality.TEXT) & (line.part >= 0) & (piece >= 0)
    if config.text == "release":
        tokens &= ~_skipped_by_release(trace)
    cut.put(tokens, _TEXT, line.part[tokens], piece[tokens])


def _skipped_by_release(trace: Trace) -> Bool:
    """Tokens that are one newline or one ASCII mark: the release counts them as special."""
    chars = trace.timeline.chars
    codes = np.frombuffer(trace.prompt_text.encode("utf-32-le", "surrogatepass"), np.uint32)
    mark = np.append(np.isin(codes, _RELEASE_SKIPS), False)
    skipped: Bool = (chars[:, 1] - chars[:, 0] == 1) & mark[np.minimum(chars[:, 0], len(codes))]
    return skipped


def _cut_images(cut: _Cut, trace: Trace, config: UnitConfig) -> None:
    line = trace.timeline
    tokens = line.modality == Modality.IMAGE
    medium, side = line.medium[tokens], _side(config)
    rows, columns = (size[medium] for size in _patches(trace))
    row, column = (np.maximum(position[tokens], 0) for position in (line.row, line.column))
    cut.put(tokens, _IMAGE, medium, (row * side // rows) * side + column * side // columns)


def _side(config: UnitConfig) -> int:
    return config.grid if config.image == "grid" else 1


def _patches(trace: Trace) -> tuple[Int32, Int32]:
    """Rows and columns of each medium's patch grid, (media,) each, at least 1."""
    line = trace.timeline
    rows, columns = (np.ones(len(trace.media), np.int32) for _ in range(2))
    placed = line.medium >= 0
    np.maximum.at(rows, line.medium[placed], line.row[placed] + 1)
    np.maximum.at(columns, line.medium[placed], line.column[placed] + 1)
    return rows, columns


def _cut_audio(cut: _Cut, trace: Trace, config: UnitConfig) -> None:
    sound = trace.timeline.modality == Modality.AUDIO
    _cut_bins(cut, trace, sound & ~_in_video(trace), _AUDIO, config.audio_seconds)


def _cut_video(cut: _Cut, trace: Trace, config: UnitConfig) -> None:
    line = trace.timeline
    vision = line.modality == Modality.VIDEO
    sound = (line.modality == Modality.AUDIO) & _in_video(trace)
    if config.video == "united":
        _cut_bins(cut, trace, vision | sound, _VIDEO, config.video_seconds)
        return
    cut.put(vision, _VIDEO, line.medium[vision], np.maximum(line.frame[vision], 0))
    cut.start_s[vision], cut.end_s[vision] = line.start_s[vision], line.end_s[vision]
    for medium in np.unique(line.medium[sound]):
        _cut_sound(cut, trace, vision & (line.medium == medium), sound & (line.medium == medium))


def _cut_sound(cut: _Cut, trace: Trace, vision: Bool, sound: Bool) -> None:
    """A video's sound in the bins of its groups of frames, as the release has it."""
    line = trace.timeline
    starts, first = np.unique(line.start_s[vision], return_index=True)
    frame = np.flatnonzero(vision)[first]
    midpoint = (line.start_s[sound] + line.end_s[sound]) / 2
    own = frame[np.maximum(np.searchsorted(starts, midpoint, side="right") - 1, 0)]
    cut.put(sound, _SOUND, line.medium[sound], np.maximum(line.frame[own], 0))
    cut.start_s[sound], cut.end_s[sound] = line.start_s[own], line.end_s[own]


def _cut_speech(cut: _Cut, trace: Trace, medium: int, segments: Segments) -> None:
    """Cut a medium's sound anew, in its stretches, to the millisecond."""
    line = trace.timeline
    sound = np.flatnonzero((line.modality == Modality.AUDIO) & (line.medium == medium))
    middle = (line.start_s[sound] + line.end_s[sound]) / 2
    order = np.argsort(middle)
    starts, ends = np.round(segments.start_s, 3), np.round(segments.end_s, 3)
    bounds = np.searchsorted(middle[order], np.stack([starts, ends], axis=1) - _FUZZ)
    cell = np.full(len(sound), -1)
    for index, (first, last) in enumerate(bounds.tolist()):
        cell[order[first:last]] = index
    kind = _SOUND if trace.media[medium].kind == "video" else _AUDIO
    cut.kind[sound] = np.where(cell < 0, -1, kind)
    cut.item[sound], cut.cell[sound] = medium, cell
    cut.start_s[sound], cut.end_s[sound] = starts[cell], ends[cell]


def _in_video(trace: Trace) -> Bool:
    is_video: Bool = np.array([medium.kind == "video" for medium in trace.media] + [False])
    of_token: Bool = is_video[trace.timeline.medium]
    return of_token


def _cut_bins(cut: _Cut, trace: Trace, tokens: Bool, kind: int, seconds: float) -> None:
    line = trace.timeline
    medium = line.medium[tokens]
    duration = _durations(trace)[medium]
    midpoint = (line.start_s[tokens] + line.end_s[tokens]) / 2
    last = np.ceil(duration / seconds - _FUZZ) - 1
    cell = np.clip(np.floor(midpoint / seconds + _FUZZ), 0, np.maximum(last, 0))
    cut.put(tokens, kind, medium, cell.astype(np.int64))
    cut.start_s[tokens] = cell * seconds
    cut.end_s[tokens] = np.minimum((cell + 1) * seconds, duration)


def _durations(trace: Trace) -> Float64:
    """Seconds of each medium (media,): as recorded, else until its last token ends."""
    line = trace.timeline
    last = np.zeros(len(trace.media))
    timed = (line.medium >= 0) & ~np.isnan(line.end_s)
    np.maximum.at(last, line.medium[timed], line.end_s[timed])
    known = [medium.duration_s for medium in trace.media]
    return np.array([end if known[i] is None else known[i] for i, end in enumerate(last)], float)


def _collect(cut: _Cut, trace: Trace, config: UnitConfig, said: _Said) -> Units:
    """The units of a finished cut, in the order of their first token."""
    ranges, offset = _ranges(cut.key)
    first = ranges[offset[:-1], 0]
    kind, item = cut.kind[first], cut.item[first]
    ids, labels = _names(cut, trace, config, first)
    return Units(
        id=ids,
        label=labels,
        text=_texts(cut, trace, said, first),
        modality=_MODALITY[kind].astype(np.uint8),
        medium=np.where(kind == _TEXT, -1, item).astype(np.int32),
        start_s=cut.start_s[first],
        end_s=cut.end_s[first],
        box=_boxes(cut, trace, config, first),
        ranges=ranges,
        offset=offset,
    )


def _ranges(keys: Int64) -> tuple[Int32, Int32]:
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


def _names(
    cut: _Cut, trace: Trace, config: UnitConfig, first: Int32
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids and labels of the units whose first tokens are `first`."""
    ordinal = _ordinals(trace)
    side, texts = _side(config), 0
    ids, labels = [], []
    for token in first.tolist():
        kind, cell = int(cut.kind[token]), int(cut.cell[token])
        if kind == _TEXT:
            number, place, where = texts, "", ""
            texts += 1
        else:
            number = ordinal[int(cut.item[token])]
            place, where = _place(cut, token) if kind != _IMAGE else _cell_name(cell, side)
        noun = "video" if kind == _SOUND else Modality(int(_MODALITY[kind])).label
        end = "sound" if kind == _SOUND else ""
        ids.append(":".join(filter(None, [f"{noun}-{number}", place, end])))
        labels.append(" ".join(filter(None, [f"{noun} {number + 1}", where, end])))
    return tuple(ids), tuple(labels)


def _ordinals(trace: Trace) -> list[int]:
    """Each medium's place among those of its kind."""
    kinds = [medium.kind for medium in trace.media]
    return [kinds[:index].count(kind) for index, kind in enumerate(kinds)]


def _place(cut: _Cut, token: int) -> tuple[str, str]:
    start, end = (f"{round(float(s[token]), 3):.12g}" for s in (cut.start_s, cut.end_s))
    return f"{start}-{end}", f"{start}–{end} s"


def _cell_name(cell: int, side: int) -> tuple[str, str]:
    if side == 1:
        return "", ""
    row, column = divmod(cell, side)
    return f"{row},{column}", f"row {row + 1} column {column + 1}"


def _texts(cut: _Cut, trace: Trace, said: _Said, first: Int32) -> tuple[str | None, ...]:
    """The words of each unit: its sentence, as far as it lies in the unit's part, or its speech."""
    pieces, speech = said
    line = trace.timeline
    low = np.full(len(trace.parts), len(trace.prompt_text))
    high = np.zeros(len(trace.parts), np.int64)
    words = (line.modality == Modality.TEXT) & (line.part >= 0)
    np.minimum.at(low, line.part[words], line.chars[words, 0])
    np.maximum.at(high, line.part[words], line.chars[words, 1])
    texts: list[str | None] = [None] * len(first)
    for index in np.flatnonzero(cut.kind[first] == _TEXT).tolist():
        part, piece = cut.item[first[index]], pieces[cut.cell[first[index]]]
        texts[index] = trace.prompt_text[
            max(piece[0], low[part]) : min(piece[1], high[part])
        ].strip()
    for index in np.flatnonzero(np.isin(cut.kind[first], (_AUDIO, _SOUND))).tolist():
        segments = speech.get(int(cut.item[first[index]]))
        texts[index] = (segments.text[cut.cell[first[index]]].strip() or None) if segments else None
    return tuple(texts)


def _boxes(cut: _Cut, trace: Trace, config: UnitConfig, first: Int32) -> Float64:
    """(m, 4): x0, y0, x1, y1 of image units as fractions; NaN for the others."""
    box = np.full((len(first), 4), np.nan)
    side = _side(config)
    images = cut.kind[first] == _IMAGE
    rows, columns = (size[cut.item[first[images]]] for size in _patches(trace))
    row, column = np.divmod(cut.cell[first[images]], side)
    for axis, (cell, patches) in enumerate(((column, columns), (row, rows))):
        box[images, axis] = np.ceil(cell * patches / side) / patches
        box[images, axis + 2] = np.ceil((cell + 1) * patches / side) / patches
    return box
