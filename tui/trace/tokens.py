"""The response as coloured tokens under a cursor: one widget, whatever the length.

Knows steps, colours and spans; nothing of masses, runs or files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from rich.cells import cell_len
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message

from omnitrace.arrays import Bool
from tui.draw.colours import LETTERS
from tui.draw.layout import clip, nearest_step, wrap
from tui.draw.lines import Lines, Piece
from tui.trace.response import NO_RESPONSE, StyledResponse

TEXT, LETTER, CAPTION = range(3)  # what a line shows of its row
_UNDERLINED = Style(underline=True)
_THINKING = "thinking  "  # before the sources of a span that is thinking
_MARGIN = 7  # cells of the margin beside the digits of the span's number


class TokenView(Lines, inherit_bindings=False):
    """The response, a span to a paragraph: number and letters in the margin, sources below.

    `moved(step)` is called when the cursor moves: a call and no message, so that the panes are
    drawn in the same frame as the cursor.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "Previous token", show=False),
        Binding("right,l", "move(1)", "Next token", show=False),
        Binding("up,k", "row(-1)", "Row above", show=False),
        Binding("down,j", "row(1)", "Row below", show=False),
        Binding("home", "edge(False)", "Start of the row", show=False),
        Binding("end", "edge(True)", "End of the row", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("g,ctrl+home", "first", "First token", show=False),
        Binding("G,ctrl+end", "last", "Last token", show=False),
        Binding("full_stop", "same(1)", "Next of this source", show=False, key_display="."),
        Binding("comma", "same(-1)", "Previous of this source", show=False, key_display=","),
        Binding("n", "highlighted(1)", "Next lit token", show=False),
        Binding("N", "highlighted(-1)", "Previous lit token", show=False),
        Binding("f", "centre", "Centre the cursor", show=False),
        Binding("enter", "pin", "Pin", show=False),
    ]

    @dataclass
    class Pinned(Message):
        """The panes are to stay on a step while the cursor moves on."""

        step: int

    def __init__(self, moved: Callable[[int], None]) -> None:
        super().__init__(id="tokens")
        self.moved = moved
        self.cursor = 0
        self.letters = False
        self.captions = True
        self.response = NO_RESPONSE
        self.highlighted: Bool | None = None  # (T,): these stand out, the others are dim
        self.pinned: int | None = None
        self._rows = wrap("", 2)
        self._wrapped: tuple[object, object] = (None, None)  # what the rows were wrapped for
        self._heads: dict[int, int] = {}  # row → the span that begins on it; -1: steps in no span
        self._lines: list[tuple[int, int]] = []  # line → its row, and what it shows of it
        self._tops: list[int] = []  # row → its first line
        self._column = 0  # the cell that the cursor keeps when it changes rows

    # What is shown

    def show_response(self, response: StyledResponse, cursor: int) -> None:
        """Show a response, with the cursor on a step (or the nearest there is)."""
        before, self.response, self._message = self.response, response, None
        old, self.cursor = self.cursor, max(0, min(cursor, len(response) - 1))
        self._update_rows(response.changed(before) if self.cursor == old else None)

    def show_message(self, text: str, wrong: bool = False) -> None:
        self.response, self.highlighted, self.pinned = NO_RESPONSE, None, None
        super().show_message(text, wrong)

    def highlight(self, steps: Bool | None) -> None:
        """Let these steps (T,) stand out, the others be dim; None: all alike."""
        if steps is not None or self.highlighted is not None:
            self.highlighted = steps
            self.redraw()

    def pin(self, step: int | None) -> None:
        """Mark a step as pinned."""
        self.pinned = step
        self.redraw()

    def toggle_letters(self) -> None:
        """Show or hide the row of modality letters under each row of text."""
        self.letters = not self.letters
        self._update_rows()

    def toggle_captions(self) -> None:
        """Show or hide the curated sources below each span."""
        self.captions = not self.captions
        self._update_rows()

    def on_resize(self) -> None:
        self._update_rows()

    @property
    def _margin(self) -> int:
        return len(str(len(self.response.spans))) + _MARGIN

    def _update_rows(self, changed: Bool | None = None) -> None:
        """Wrap the response to rows, unless they are still right; draw all of them again, or where
        they stay as they are, only the rows of the steps that `changed` (T,)."""
        width, response = self.scrollable_content_region.width, self.response
        if not len(response) or not width:
            return
        wanted = (response.spans, width, self.letters, self.captions)
        if self._wrapped[0] is not response.shown or self._wrapped[1] != wanted:
            self._wrapped, changed = (response.shown, wanted), None
            self._wrap(width, response)
        self.count = len(self._lines)
        self.virtual_size = Size(width, self.count)
        self._column = self._place(self.cursor)[1]
        if changed is None:
            self.redraw()
        else:
            self._refresh_rows(self._rows_of(changed))
        self.call_after_refresh(self._follow)

    def _wrap(self, width: int, response: StyledResponse) -> None:
        begins = np.flatnonzero(np.diff(response.span, prepend=-2))
        heads = {int(response.first[step]): int(response.span[step]) for step in begins}
        # One cell stays free so that the scrollbar's coming and going moves no word.
        self._rows = wrap(
            response.shown.text, width - self._margin - 1, (*response.shown.starts, *heads)
        )
        self._heads = {self._rows.row_of(head): k for head, k in heads.items()}
        self._number_lines()

    def _number_lines(self) -> None:
        """What each line shows: a row, its letters, the sources of the span that ends there."""
        ends = pairwise([*self._heads, len(self._rows)])
        tails = {after - 1 for head, after in ends if self._heads[head] >= 0}
        self._lines, self._tops = [], []
        for row in range(len(self._rows)):
            self._tops.append(len(self._lines))
            self._lines.append((row, TEXT))
            self._lines += [(row, LETTER)] if self.letters else []
            self._lines += [(row, CAPTION)] if self.captions and row in tails else []

    # The cursor

    def move_to(self, step: int, keep_column: bool = False) -> None:
        """Put the cursor on a step (or the nearest there is) and call `moved`."""
        if not len(self.response):
            return
        step = max(0, min(step, len(self.response) - 1))
        stale = self._rows_of_span(self.cursor) | self._rows_of_span(step)
        self.cursor = step
        if not keep_column:
            self._column = self._place(step)[1]
        self._refresh_rows(stale)
        self._follow()
        self.moved(step)

    def action_move(self, by: int) -> None:
        if len(self.response):
            first, last = self.response.group_of(self.cursor)
            self.move_to(last if by > 0 else self.response.group_of(max(first - 1, 0))[0])

    def action_same(self, by: int) -> None:
        """Go to the next token outside this group that is traced to the same unit."""
        if len(self.response):
            unit = self.response.unit[self.cursor]
            self._to_next((self.response.unit == unit) & (unit >= 0), by)

    def action_highlighted(self, by: int) -> None:
        if self.highlighted is not None:
            self._to_next(self.highlighted, by)

    def _to_next(self, wanted: Bool, by: int) -> None:
        """Go to the first step of the next group, forwards or backwards, with a wanted step."""
        first, last = self.response.group_of(self.cursor)
        found = np.flatnonzero(wanted[last:]) + last if by > 0 else np.flatnonzero(wanted[:first])
        if len(found):
            self.move_to(self.response.group_of(int(found[0 if by > 0 else -1]))[0])

    def action_centre(self) -> None:
        if self._tops:
            top = self._tops[self._place(self.cursor)[0]]
            self.scroll_to(y=top - self.scrollable_content_region.height // 2, animate=False)

    def action_pin(self) -> None:
        if len(self.response):
            self.post_message(self.Pinned(self.cursor))

    def action_first(self) -> None:
        self.move_to(0)

    def action_last(self) -> None:
        self.move_to(len(self.response) - 1)

    def action_row(self, by: int) -> None:
        self._to_row(self._place(self.cursor)[0] + by, by)

    def action_page(self, by: int) -> None:
        if self._lines:
            page = max(1, self.scrollable_content_region.height - 1)
            line = self._tops[self._place(self.cursor)[0]] + by * page
            self._to_row(self._lines[max(0, min(line, len(self._lines) - 1))][0], by)

    def action_edge(self, end: bool) -> None:
        row = self._place(self.cursor)[0]
        self._to_step(row, self.scrollable_content_region.width if end else 0)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None:
            line = offset.y + self.scroll_offset.y
            row = self._lines[line][0] if line < len(self._lines) else -1
            self._to_step(row, offset.x - self._margin)

    def _to_step(self, row: int, column: int) -> None:
        """Go to the step at a cell of a row."""
        if len(self.response) and 0 <= row < len(self._rows):
            step = nearest_step(self.response.shown, self._rows, row, column)
            self.move_to(self.cursor if step is None else step)

    def _to_row(self, row: int, onward: int) -> None:
        """Go to a row, or the next one `onward` that shows a step, in the same column."""
        row = max(0, min(row, len(self._rows) - 1))
        while len(self.response) and 0 <= row < len(self._rows):
            step = nearest_step(self.response.shown, self._rows, row, self._column)
            if step is not None:
                self.move_to(step, keep_column=True)
                return
            row += onward

    def _place(self, step: int) -> tuple[int, int]:
        """The row and the cell of a step's first character."""
        if not len(self.response):
            return 0, 0
        character = int(self.response.first[step])
        row = self._rows.row_of(character)
        return row, self._rows.column(row, character)

    def _follow(self) -> None:
        """Scroll to the cursor."""
        if self._tops:
            row, width = self._place(self.cursor)[0], self.scrollable_content_region.width
            own = Region(0, self._tops[row], width, len(self._lines_of(row)))
            self.scroll_to_region(own, animate=False, force=True)

    def _lines_of(self, row: int) -> range:
        after = self._tops[row + 1] if row + 1 < len(self._tops) else len(self._lines)
        return range(self._tops[row], after)

    def _rows_of_span(self, step: int) -> set[int]:
        """The rows of the span of a step: they change when the cursor enters or leaves it."""
        k = int(self.response.span[step])
        start, end = self.response.spans[k] if k >= 0 else (step, step + 1)
        last = int(self.response.first[end]) if end < len(self.response) else None
        until = len(self._rows) - 1 if last is None else self._rows.row_of(last)
        return set(range(self._place(start)[0], until + 1))

    def _rows_of(self, steps: Bool) -> set[int]:
        """The rows on which some of these steps (T,) are drawn."""
        step = self.response.shown.step
        characters = np.flatnonzero((step >= 0) & steps[step])
        rows = np.searchsorted(self._rows.ranges[:, 0], characters, "right") - 1
        return set(np.unique(rows).tolist())

    def _refresh_rows(self, rows: set[int]) -> None:
        width, height = self.scrollable_content_region.size
        if len(rows) > 2 * height:
            self.redraw()
            return
        for row in rows:
            for line in self._lines_of(row):
                self._strips.discard((line, width))
                self.refresh_line(line)

    # Drawing

    def draw_row(self, row: int, width: int) -> Iterable[Piece]:
        if not len(self.response):
            return super().draw_row(row, width)
        row, lane = self._lines[row]
        if lane == CAPTION:
            return self._draw_caption(row, width)
        return [*self._draw_margin(row, lane), *self._draw_steps(row, lane)]

    def _draw_caption(self, row: int, width: int) -> Iterable[Piece]:
        """`↳ I image 1  A audio 1 1–2 s`: the curated sources of the span that ends here."""
        step = int(self.response.shown.step[self._rows.ranges[row, 0]])
        k = int(self.response.span[step])
        yield " " * self._margin, self.palette.plain
        yield "↳ ", self.palette.dim
        sources = self.response.sources[k] if step >= 0 and k >= 0 else ()
        left = width - self._margin - 2
        if step >= 0 and k in self.response.thinking:
            yield _THINKING, self.palette.dim
            left -= len(_THINKING)
        for modality, unit in sources:
            yield f"{LETTERS[modality]} ", self.palette.ink[modality]
            text = clip(self.response.name(unit), left - 2)
            yield f"{text}  ", self.palette.dim
            left -= cell_len(text) + 4
            if left < 8:
                return
        if not sources:
            yield "no source kept", self.palette.dim

    def _draw_margin(self, row: int, lane: int) -> Iterable[Piece]:
        """`▸3 TIA`: the number of the span that begins here, its sources' modalities."""
        palette, digits = self.palette, self._margin - _MARGIN
        k = self._heads.get(row, -1) if lane == TEXT else -1
        if k < 0:
            yield " " * self._margin, palette.plain
            return
        here = k == self.response.span[self.cursor]
        yield f"{'▸' if here else ' '}{k + 1:>{digits}} ", palette.strong if here else palette.dim
        kinds = list(dict.fromkeys(modality for modality, _ in self.response.sources[k]))[:4]
        yield from ((LETTERS[modality], palette.ink[modality]) for modality in kinds)
        apart = bool(self.response.disputed[self.response.spans[k][0]])
        yield "≠" if apart else "", palette.error
        yield " " * (_MARGIN - 2 - len(kinds) - apart), palette.plain

    def _draw_steps(self, row: int, lane: int) -> Iterable[Piece]:
        start, end = self._rows.ranges[row].tolist()
        steps, edge = self.response.shown.step[start:end], self._rows.edge
        text = self.response.shown.text[start:end]
        cuts = [start, *(np.flatnonzero(np.diff(steps)) + start + 1).tolist(), end]
        for a, b in pairwise(cuts):
            step = int(steps[a - start])
            if lane == LETTER:
                yield self._letter(step, text[a - start : b - start], int(edge[b] - edge[a]))
            else:
                yield text[a - start : b - start], self.style_of(step)

    def style_of(self, step: int) -> Style:
        if step < 0:
            return self.palette.dim
        response = self.response
        if response.group[step] == response.group[self.cursor]:
            return self.palette.cursor
        if step == self.pinned:
            return self.palette.pinned
        if self.highlighted is not None and not self.highlighted[step]:
            return self.palette.dim
        if response.outside[step]:
            return self.palette.dim
        style = self.palette.token[response.modality[step]][int(response.level[step])]
        inside = response.span[step] == response.span[self.cursor] >= 0
        return Style.combine((style, _UNDERLINED)) if inside else style

    def _letter(self, step: int, text: str, cells: int) -> Piece:
        """The letter of a step below its first character, or blanks below a step's second row."""
        if step < 0:
            return " " * cells, self.palette.plain
        modality = self.response.modality[step]
        gap = " " * (len(text) - len(text.lstrip(" ")))
        return (gap + LETTERS[modality]).ljust(cells)[:cells], self.palette.ink[modality]
