"""Rows under a cursor: one is pointed at, one is chosen. Does not know what the rows are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message

from tui.draw.lines import Lines, Piece


class Table(Lines, inherit_bindings=False):
    """Rows of one line each, drawn by `draw_item`, with a cursor that keys and mouse move."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Choose", show=False),
        Binding("up,k", "move(-1)", "Row above", show=False),
        Binding("down,j", "move(1)", "Row below", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "first", "First row", show=False),
        Binding("end,G", "last", "Last row", show=False),
    ]

    @dataclass
    class OfRow(Message):
        """Something happened to a row of a table."""

        table: Table
        row: int

        @property
        def control(self) -> Table:
            return self.table

    class Pointed(OfRow):
        """The cursor is on a row, by key or mouse."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Table.Pointed) and message.table is self.table

    class Chosen(OfRow):
        """A row was chosen: by Enter, or by a click on it."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cursor = 0

    def fill(self, count: int, cursor: int = 0) -> None:
        """Show `count` rows, the cursor on one of them or the nearest there is."""
        self._message = None
        self.count, self.cursor = count, max(0, min(cursor, count - 1))
        self.virtual_size = Size(self.scrollable_content_region.width, count)
        self.redraw()
        self.call_after_refresh(self._follow)

    def show_message(self, text: str, wrong: bool = False) -> None:
        self.cursor = 0
        super().show_message(text, wrong)

    def move_to(self, row: int) -> None:
        """Put the cursor on a row, or the nearest there is."""
        if self._message or not self.count:
            return
        stale, self.cursor = self.cursor, max(0, min(row, self.count - 1))
        for changed in {stale, self.cursor}:
            self.redraw_row(changed)
        self._follow()
        self.post_message(self.Pointed(self, self.cursor))

    def action_move(self, by: int) -> None:
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.move_to(self.cursor + by * max(1, self.scrollable_content_region.height - 1))

    def action_first(self) -> None:
        self.move_to(0)

    def action_last(self) -> None:
        self.move_to(self.count - 1)

    def action_choose(self) -> None:
        if self.count and not self._message:
            self.post_message(self.Chosen(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        row = offset.y + self.scroll_offset.y if offset else self.count
        if row < self.count:
            self.move_to(row)
            self.action_choose()

    def on_focus(self) -> None:
        self.redraw_row(self.cursor)

    def on_blur(self) -> None:
        self.redraw_row(self.cursor)

    def draw_row(self, row: int, width: int) -> Iterable[Piece]:
        return super().draw_row(row, width) if self._message else self.draw_item(row, width)

    def draw_item(self, row: int, width: int) -> Iterable[Piece]:
        """The pieces of one row; `row == self.cursor` where the cursor is."""
        return ()

    def _follow(self) -> None:
        own = Region(0, self.cursor, self.scrollable_content_region.width, 1)
        self.scroll_to_region(own, animate=False, force=True)
