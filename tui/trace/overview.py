"""The whole answer in one row: the modality of each part, and the cursor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np
from rich.style import Style
from textual import events
from textual.message import Message

from omnitrace.arrays import Bool
from tui.draw.colours import LETTERS
from tui.draw.lines import Lines, Piece
from tui.trace.response import NO_RESPONSE, StyledResponse


class Overview(Lines, can_focus=False):
    """A cell for every few steps: the strongest one's modality; a click goes there."""

    @dataclass
    class Clicked(Message):
        """A click on the cell of a step."""

        step: int

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.response = NO_RESPONSE
        self.cursor = 0
        self.highlighted: Bool | None = None
        self._cells: list[Piece] = []  # the row without the cursor

    def show_response(
        self, response: StyledResponse, cursor: int, highlighted: Bool | None
    ) -> None:
        """Show a response; `highlighted` (T,) bool: the steps that stand out, None for all."""
        if response is not self.response or highlighted is not self.highlighted:
            self._cells = []
        self.response, self.cursor, self.highlighted = response, cursor, highlighted
        self._message, self.count = None, 1
        self.redraw()

    def notify_style_update(self) -> None:
        self._cells = []
        super().notify_style_update()

    def draw_row(self, row: int, width: int) -> Iterable[Piece]:
        steps, cells = len(self.response), width - 2
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
        step = first + int(self.response.level[first:last].argmax())
        modality = self.response.modality[step]
        style = self.palette.token[modality][int(self.response.level[step])]
        if self.highlighted is not None:
            return ("•", style) if self.highlighted[first:last].any() else (" ", self.palette.dim)
        return (LETTERS[modality] if self.app.no_color else " "), style

    def on_click(self, event: events.Click) -> None:
        offset, steps = event.get_content_offset(self), len(self.response)
        cells = self.scrollable_content_region.width - 2
        if offset is not None and steps and cells > 0:
            at = min(max(offset.x - 1, 0), cells - 1)
            self.post_message(self.Clicked(at * steps // cells))
