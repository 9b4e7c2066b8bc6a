"""The timeline cut into units as a configuration says: their tokens, ids, labels, texts, boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Bool, Float64, Int32, UInt8
from omnitrace.prompt import Prompt
from omnitrace.timeline import Modality, Segments
from omnitrace.units.config import UnitConfig
from omnitrace.units.data import MODALITY, Cut, Kind, Pieces, Units, ranges_by_key
from omnitrace.units.media import cut_media, patches_of, side_of, speech_of
from omnitrace.units.request import request_tokens
from omnitrace.units.text import TEXT_UNITS, cut_text, text_bounds
from omnitrace.units.user import UserUnit, cut_user, defined_units


def cut_units(prompt: Prompt, config: UnitConfig) -> Units:
    """The source units of `prompt` under `config` (paper §3.1).

    Text units hold the text tokens of content parts; a token belongs to the sentence in which its
    first non-space character lies (a blank one: its first character), so blank tokens between
    sentences belong to none. Media units hold the tokens of their medium, by the midpoint of the
    token's time. What the chat template adds belongs to no unit.

    Under a segmentation, a medium in which it has stretches has those as its units of audio;
    a video keeps its units of vision. Of stretches that overlap the later one counts, and what lies
    between stretches belongs to none, as a pause does. A medium without stretches keeps its time
    bins. Raises SampleError if the prompt has audio and no such segmentation.

    Parts that `config.file` cuts have the user's units alone; SampleError if it lacks the sample.
    With `request = "leave-out"` the request (`request_tokens`) belongs to no unit, with "unnamed"
    and "remap" its units compete but are not named, unless it is all there is.
    """
    cut = Cut.blank(prompt.n)
    text = TEXT_UNITS[config.text]
    pieces, speech = text.pieces(prompt), speech_of(prompt, config)
    cut_text(cut, prompt, text, pieces)
    cut_media(cut, prompt, config, speech)
    user: tuple[UserUnit, ...] = ()
    if config.file:
        defined = defined_units(prompt, config.file)
        cut_user(cut, prompt, defined)
        user = defined.units
    request = _request(cut, prompt)
    left_out, unnamed = (
        request & (config.request == "leave-out"),
        request & (config.request in ("unnamed", "remap")),
    )
    cut.drop(left_out)
    return _collect(cut, prompt, config, Content(pieces, speech, user, left_out, unnamed))


def _request(cut: Cut, prompt: Prompt) -> Bool:
    """(n,): the tokens of the request, none where no other token is in a unit."""
    request: Bool = request_tokens(prompt) & (cut.kind != Kind.USER)
    return request & bool((cut.kind[~request] >= 0).any())


@dataclass(frozen=True)
class Content:
    """What the names and texts of units come from: the pieces of text, the stretches of speech by
    medium, the user's units, and the tokens (n,) of the request that are left out or not named."""

    pieces: Pieces
    speech: Mapping[int, Segments]
    user: tuple[UserUnit, ...]
    left_out: Bool
    unnamed: Bool


def _collect(cut: Cut, prompt: Prompt, config: UnitConfig, content: Content) -> Units:
    """The units of a finished cut, in the order of their first token."""
    ranges, offset = ranges_by_key(cut.key)
    first = ranges[offset[:-1], 0]
    modality, medium = _made_of(cut, prompt, first)
    names = _names(cut, prompt, config, first)
    mine = np.flatnonzero(cut.kind[first] == Kind.USER).tolist()
    texts, box = _texts(cut, prompt, content, first), _boxes(cut, prompt, config, first)
    for index in mine:
        number = int(cut.cell[first[index]])
        unit = content.user[number]
        names[index] = (f"user-{number}", unit.label)
        box[index] = unit.box or np.nan
        if modality[index] == Modality.TEXT:
            texts[index] = unit.text or _words(prompt, ranges[offset[index] : offset[index + 1]])
    return Units(
        id=tuple(id for id, _ in names),
        label=tuple(label for _, label in names),
        text=tuple(texts),
        modality=modality,
        medium=medium,
        start_s=cut.start_s[first],
        end_s=cut.end_s[first],
        box=box,
        unnamed=_all_of(content.unnamed, ranges, offset),
        ranges=ranges,
        offset=offset,
    )


def _all_of(tokens: Bool, ranges: Int32, offset: Int32) -> Bool:
    """(m,) bool: the units of which every token is among `tokens` (n,)."""
    before = np.concatenate([[0], np.cumsum(~tokens)])
    others = before[ranges[:, 1]] - before[ranges[:, 0]]
    found: Bool = (
        np.add.reduceat(others, offset[:-1]) == 0 if len(ranges) else np.zeros(0, np.bool_)
    )
    return found


def _made_of(cut: Cut, prompt: Prompt, first: Int32) -> tuple[UInt8, Int32]:
    """(m,) modality and (m,) medium of the units whose first tokens are `first`."""
    kind, line = cut.kind[first], prompt.timeline
    parts = [prompt.parts[part] for part in line.part[first].tolist()]
    own = np.array([Modality[part.kind.upper()] for part in parts], np.uint8)
    of_kind = MODALITY[np.where(kind == Kind.USER, 0, kind)]
    modality = np.where(kind == Kind.USER, own, of_kind).astype(np.uint8)
    medium = np.where(modality == Modality.TEXT, -1, line.medium[first])
    return modality, medium.astype(np.int32)


def _names(cut: Cut, prompt: Prompt, config: UnitConfig, first: Int32) -> list[tuple[str, str]]:
    """(id, label) of the units whose first tokens are `first`; blank for a user's."""
    ordinal = _ordinals(prompt)
    side, texts = side_of(config), 0
    names: list[tuple[str, str]] = []
    for token in first.tolist():
        kind, cell = int(cut.kind[token]), int(cut.cell[token])
        if kind == Kind.USER:
            names.append(("", ""))
            continue
        if kind == Kind.TEXT:
            number, place, where = texts, "", ""
            texts += 1
        else:
            number = ordinal[int(cut.item[token])]
            place, where = _place(cut, token) if kind != Kind.IMAGE else _cell_name(cell, side)
        noun = "video" if kind == Kind.VIDEO_AUDIO else Modality(int(MODALITY[kind])).label
        end = "sound" if kind == Kind.VIDEO_AUDIO else ""
        id = ":".join(filter(None, [f"{noun}-{number}", place, end]))
        names.append((id, " ".join(filter(None, [f"{noun} {number + 1}", where, end]))))
    return names


def _ordinals(prompt: Prompt) -> list[int]:
    """Each medium's place among those of its kind."""
    kinds = [medium.kind for medium in prompt.media]
    return [kinds[:index].count(kind) for index, kind in enumerate(kinds)]


def _place(cut: Cut, token: int) -> tuple[str, str]:
    start, end = (f"{round(float(s[token]), 3):.12g}" for s in (cut.start_s, cut.end_s))
    return f"{start}-{end}", f"{start}–{end} s"


def _cell_name(cell: int, side: int) -> tuple[str, str]:
    if side == 1:
        return "", ""
    row, column = divmod(cell, side)
    return f"{row},{column}", f"row {row + 1} column {column + 1}"


def _texts(cut: Cut, prompt: Prompt, content: Content, first: Int32) -> list[str | None]:
    """The words of each unit: its piece of text, as far as it lies in the unit's part or message,
    or its speech."""
    bounds = text_bounds(prompt, content.pieces, content.left_out)
    texts: list[str | None] = [None] * len(first)
    for index in np.flatnonzero(cut.kind[first] == Kind.TEXT).tolist():
        low, high = bounds[cut.item[first[index]]]
        start, end = content.pieces.ranges[cut.cell[first[index]]].tolist()
        texts[index] = prompt.prompt_text[max(start, low) : min(end, high)].strip()
    for index in np.flatnonzero(np.isin(cut.kind[first], (Kind.AUDIO, Kind.VIDEO_AUDIO))).tolist():
        segments = content.speech.get(int(cut.item[first[index]]))
        texts[index] = (segments.text[cut.cell[first[index]]].strip() or None) if segments else None
    return texts


def _words(prompt: Prompt, ranges: Int32) -> str:
    """The text from the first to the last token of `ranges` (k, 2)."""
    chars = prompt.timeline.chars
    return prompt.prompt_text[chars[ranges[0, 0], 0] : chars[ranges[-1, 1] - 1, 1]].strip()


def _boxes(cut: Cut, prompt: Prompt, config: UnitConfig, first: Int32) -> Float64:
    """(m, 4): x0, y0, x1, y1 of image units as fractions; NaN for the others."""
    box = np.full((len(first), 4), np.nan)
    side = side_of(config)
    images = cut.kind[first] == Kind.IMAGE
    rows, columns = (size[cut.item[first[images]]] for size in patches_of(prompt))
    row, column = np.divmod(cut.cell[first[images]], side)
    for axis, (cell, patches) in enumerate(((column, columns), (row, rows))):
        box[images, axis] = np.ceil(cell * patches / side) / patches
        box[images, axis + 2] = np.ceil((cell + 1) * patches / side) / patches
    return box
