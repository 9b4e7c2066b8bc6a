"""The whole answer in one row: what each part of it is traced to, and where the cursor is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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

    def show_marks(self, marked: Marked, cursor: int, lit: Bool | None) -> None:
        """Show a response; `lit` (T,): the steps that stand out, if any do."""
        self.marked, self.cursor, self.lit = marked, cursor, lit
        self._message, self.count = None, 1
        self.redraw()

    def draw_row(self, row: int, width: int) -> Iterable[Piece]:
        steps, cells = len(self.marked), width - 2
        if not steps or cells < 1:
            return
        edges = (np.arange(cells + 1) * steps) // cells
        here = (self.cursor * cells) // steps
        yield " ", self.palette.plain
        for cell in range(cells):
            first, last = int(edges[cell]), max(int(edges[cell]) + 1, int(edges[cell + 1]))
            strongest = first + int(self.marked.level[first:last].argmax())
            yield self._cell(cell == here, strongest, first, last)

    def _cell(self, here: bool, step: int, first: int, last: int) -> Piece:
        modality = self.marked.modality[step]
        style = self.palette.token[modality][int(self.marked.level[step])]
        if here:
            return "┃", Style.combine((style, self.palette.cursor))
        if self.lit is not None:
            return ("•", style) if self.lit[first:last].any() else (" ", self.palette.dim)
        return (LETTERS[modality] if self.app.no_color else " "), style

    def on_click(self, event: events.Click) -> None:
        offset, steps = event.get_content_offset(self), len(self.marked)
        cells = self.scrollable_content_region.width - 2
        if offset is not None and steps and cells > 0:
            at = min(max(offset.x - 1, 0), cells - 1)
            self.post_message(self.Went(at * steps // cells))
