"""Text in terminal cells: the characters shown, the step of each, and the breaks of rows.

Pure data over numpy arrays; knows no widget, no colour and no application. Untrusted text becomes
safe here: `visible` is the only way from a trace's text to the screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from rich.cells import cell_len, get_character_cell_size, set_cell_size

from omnitrace.arrays import Int32
from omnitrace.text import safe_text

EMPTY = "·"  # a step that added no character: half an emoji, an end-of-text token
MAX_MARKS = 4  # combining marks kept on one character: more only smear the rows around it

# Format characters take no cell, and terminals disagree about the width of what they join.
_FORMAT = [0xAD, 0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0]
_FORMAT += [*range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x2060, 0x2070)]
_FORMAT += [*range(0xFE00, 0xFE10), *range(0xFFF9, 0xFFFC), *range(0x1BCA0, 0x1BCA4)]
_FORMAT += [*range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)]
_SHOWN: dict[int, str | None] = dict.fromkeys(_FORMAT) | {0x0A: "↵", 0x09: " "}


def visible(text: str) -> str:
    """`text` as it may be drawn on one row: safe, no zero-width format characters, few marks."""
    if text.isascii() and text.isprintable():
        return text  # nearly all that is drawn, and drawn again
    shown = safe_text(text).translate(_SHOWN)
    return shown if shown.isascii() else _cap_marks(shown)


def clip(text: str, cells: int) -> str:
    """`text` visible and white space folded, in at most `cells` cells, cut with an ellipsis."""
    head = text[: (MAX_MARKS + 4) * max(cells, 8)]  # a line of 10^6 characters costs no more
    shown = visible(" ".join(head.split()))
    if cell_len(shown) <= cells and len(head) == len(text):
        return shown
    return set_cell_size(shown, max(0, cells - 1)).rstrip() + "…" if cells > 0 else ""


@dataclass(frozen=True)
class Shown:
    """The C characters shown of a response of T steps.

    `step` (C,) int32: the step that wrote each character, -1 where none did; every step owns at
    least one character that is not a space. `starts`: characters that must begin a row, because
    a newline comes before.
    """

    text: str
    step: Int32
    starts: tuple[int, ...]

    def first(self, steps: int) -> Int32:
        """(steps,) int32: the first character of each step that is not a space."""
        ink = np.flatnonzero(_codes(self.text) != ord(" ")).astype(np.int32)
        return ink[np.searchsorted(self.step[ink], np.arange(steps))]


def show_steps(response: str, chars: Int32) -> Shown:
    """The response as shown, step after step; `chars` (T, 2) int32 as in `Trace.chars`.

    Where steps share characters (pieces of one emoji) the first one shows them.
    """
    pieces: list[str] = []
    owners: list[int] = []
    starts: list[int] = []
    at = shown = 0
    ranges = [*enumerate(chars.tolist()), (-1, (len(response), len(response)))]
    for step, (start, end) in ranges:
        start, end = max(start, at), max(end, at)
        for owner, text in ((-1, response[at:start]), (step, response[start:end])):
            piece = visible(text) if owner < 0 else _step_text(text)
            pieces.append(piece)
            owners.append(owner)
            starts += [shown + i + 1 for i, c in enumerate(piece) if c == "↵" and "\n" in text]
            shown += len(piece)
        at = end
    step_of = np.repeat(np.array(owners, np.int32), [len(piece) for piece in pieces])
    return Shown("".join(pieces), step_of, tuple(starts))


@dataclass(frozen=True)
class Rows:
    """Text broken to R rows: `ranges` (R, 2) int32 of characters, `edge` (C+1,) int32 their cells.

    Character i lies `edge[i] - edge[start of its row]` cells from the left.
    """

    ranges: Int32
    edge: Int32

    def __len__(self) -> int:
        return len(self.ranges)

    def row_of(self, character: int) -> int:
        """The row that holds a character (or the spaces trimmed after that row)."""
        return int(np.searchsorted(self.ranges[:, 0], character, "right")) - 1

    def column(self, row: int, character: int) -> int:
        """The cell of a character on its row."""
        return int(self.edge[character] - self.edge[self.ranges[row, 0]])


def wrap(text: str, width: int, starts: tuple[int, ...] = ()) -> Rows:
    """Break `text` to rows of at most `width` cells.

    Rows break at spaces and next to wide characters, or else anywhere. `starts`: characters that
    must begin a row. Spaces at either end of a row are not drawn; a combining mark stays with its
    base.
    """
    codes = _codes(text)
    edge = np.concatenate([[0], np.cumsum(_widths(codes))]).astype(np.int32)
    wrapper = _Wrapper(codes, edge, max(2, width))
    bounds = sorted({0, len(text), *(s for s in starts if 0 <= s <= len(text))})
    rows = [row for start, end in pairwise(bounds) for row in wrapper.paragraph(start, end)]
    return Rows(np.array(rows, np.int32).reshape(-1, 2), edge)


def nearest_step(shown: Shown, rows: Rows, row: int, column: int) -> int | None:
    """The step drawn at a cell of a row, or the nearest one on it; None if it shows no step."""
    start, end = rows.ranges[row]
    at = int(np.searchsorted(rows.edge[start:end] - rows.edge[start], column, "right")) - 1
    owned = np.flatnonzero(shown.step[start:end] >= 0)
    if not len(owned):
        return None
    near = owned[np.argmin(np.abs(owned - max(at, 0)))]
    return int(shown.step[start + near])


class _Wrapper:
    """Breaks paragraphs of one text; a row costs two binary searches, whatever its length."""

    def __init__(self, codes: Int32, edge: Int32, width: int) -> None:
        self.edge, self.width = edge, width
        space, size = codes == ord(" "), np.diff(edge)
        self.ink = np.flatnonzero(~space)  # where something is to be seen
        breaks = np.zeros(len(codes), bool)
        breaks[1:] = (space[:-1] & ~space[1:]) | (size[:-1] == 2) | (size[1:] == 2)
        breaks &= (size > 0) & ~space
        self.breaks = np.flatnonzero(breaks)

    def paragraph(self, start: int, end: int) -> list[tuple[int, int]]:
        rows = []
        while (start := self._skip_spaces(start)) < end:
            after = min(end, self._row_end(start, end))
            last = int(self.ink[np.searchsorted(self.ink, after) - 1])
            rows.append((start, last + 1))
            start = after
        return rows

    def _row_end(self, start: int, end: int) -> int:
        """Where the next row begins: the last legal break that fits, else a hard one."""
        fits = int(np.searchsorted(self.edge, self.edge[start] + self.width, "right")) - 1
        if fits >= end or (hang := self._skip_spaces(fits)) >= end:
            return end
        if hang > fits:
            return hang
        last = int(np.searchsorted(self.breaks, fits, "right")) - 1
        if last >= 0 and self.breaks[last] > start:
            return int(self.breaks[last])
        return max(fits, start + 1)

    def _skip_spaces(self, at: int) -> int:
        found = int(np.searchsorted(self.ink, at))
        return int(self.ink[found]) if found < len(self.ink) else len(self.edge) - 1


def _step_text(text: str) -> str:
    """What a step shows: always something in a cell of its own that is not a plain space."""
    shown = visible(text)
    ink = shown.lstrip(" ")
    if not ink:
        return "␣" * len(shown) or EMPTY
    if get_character_cell_size(ink[0]):
        return shown
    return " " * (len(shown) - len(ink)) + "◌" + ink  # a mark whose base another step wrote


def _cap_marks(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = 0 if get_character_cell_size(character) else marks + 1
        if marks <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def _codes(text: str) -> Int32:
    return np.frombuffer(text.encode("utf-32-le"), "<i4")


def _widths(codes: Int32) -> Int32:
    distinct, where = np.unique(codes, return_inverse=True)
    sizes = [get_character_cell_size(chr(code)) for code in distinct]
    return np.array(sizes, np.int32)[where]
