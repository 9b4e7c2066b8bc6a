"""The whole answer in one row: what each part of it is traced to, and where the cursor is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np
from rich.style import Style
from textual import events
from textual.message import Message

from tui.draw.colours import LETTERS
from tui.draw.lines import Lines, Piece
from tui.trace.marks import NOTHING, Bool, Marked


class Overview(Lines, can_focus=False):
    """A cell for every few steps: the strongest one's modality; a click goes there."""

    @dataclass
    class Went(Message):
        """The reader wants to be at a step."""

        step: int

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.marked = NOTHING
        self.cursor = 0
        self.lit: Bool | None = None
        self._cells: list[Piece] = []  # the row without the cursor

    def show_marks(self, marked: Marked, cursor: int, lit: Bool | None) -> None:
        """Show a response; `lit` (T,): the steps that stand out, if any do."""
        if marked is not self.marked or lit is not self.lit:
            self._cells = []
        self.marked, self.cursor, self.lit = marked, cursor, lit
        self._message, self.count = None, 1
        self.redraw()

    def notify_style_update(self) -> None:
        self._cells = []
        super().notify_style_update()

    def draw_row(self, row: int, width: int) -> Iterable[Piece]:
        steps, cells = len(self.marked), width - 2
        if not steps or cells < 1:
            return
        if len(self._cells) != cells:
            edges = ((np.arange(cells + 1) * steps) // cells).tolist()
            pairs = pairwise(edges)
            self._cells = [self._cell(first, max(first + 1, last)) for first, last in pairs]
        here = (self.cursor * cells) // steps
        yield " ", self.palette.plain
        for style, run in groupby(self._cells[:here], key=itemgetter(1)):
            yield "".join(text for text, _ in run), style
        yield "┃", Style.combine((self._cells[here][1], self.palette.cursor))
        for style, run in groupby(self._cells[here + 1 :], key=itemgetter(1)):
            yield "".join(text for text, _ in run), style

    def _cell(self, first: int, last: int) -> Piece:
        """The strongest of some steps."""
        step = first + int(self.marked.level[first:last].argmax())
        modality = self.marked.modality[step]
        style = self.palette.token[modality][int(self.marked.level[step])]
        if self.lit is not None:
            return ("•", style) if self.lit[first:last].any() else (" ", self.palette.dim)
        return (LETTERS[modality] if self.app.no_color else " "), style

    def on_click(self, event: events.Click) -> None:
        offset, steps = event.get_content_offset(self), len(self.marked)
        cells = self.scrollable_content_region.width - 2
        if offset is not None and steps and cells > 0:
            at = min(max(offset.x - 1, 0), cells - 1)
            self.post_message(self.Went(at * steps // cells))
