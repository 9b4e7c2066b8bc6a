"""The configuration beside the tokens: go to a value, change it, and see the answer change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from omnitrace import Trace
from replay import ReplayConfig
from tui.draw.layout import clip
from tui.draw.lines import Piece, bar
from tui.draw.table import Table
from tui.options.fields import Option, options_of

_BAR = 10


class OptionPanel(Table, inherit_bindings=False):
    """A row a value: its name, its value, a bar; `•` where it is not the preset's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "change(-1)", "Less, choice before", show=False),
        Binding("right,l", "change(1)", "More, next choice", show=False),
        Binding("shift+left,H", "change(-10)", "Ten steps less", show=False),
        Binding("shift+right,L", "change(10)", "Ten steps more", show=False),
        Binding("backspace,r", "reset", "As the preset has it", show=False),
        Binding("enter", "choose", "Type a value", show=False),
        *Table.BINDINGS[1:],
    ]

    @dataclass
    class Changed(Message):
        """The user changed a value: `config` is the configuration with it."""

        config: ReplayConfig

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: list[Option | str] = []  # a string is the heading of a group
        self.config: ReplayConfig | None = None
        self._preset: ReplayConfig | None = None
        self._trace: Trace | None = None  # the one whose names the rows offer

    def show_config(
        self, config: ReplayConfig, base: ReplayConfig, name: str, trace: Trace | None
    ) -> None:
        """Show a configuration, with a mark where it is not what `base`, the preset, says."""
        self.config, self._preset = config, base
        if not self.rows or trace is not self._trace:
            self._trace, self.rows = trace, rows_of(config, trace)
        self.border_title = f"configuration · {name}"
        self.fill(len(self.rows), self.cursor)
        self._explain()

    @property
    def option(self) -> Option | None:
        """The value under the cursor; None on a heading."""
        row = self.rows[self.cursor] if self.rows else ""
        return None if isinstance(row, str) else row

    def move_to(self, row: int) -> None:
        super().move_to(row)
        self._explain()

    def _explain(self) -> None:
        option = self.option
        self.border_subtitle = clip(option.help, max(8, self.size.width - 6)) if option else ""

    def action_change(self, by: int) -> None:
        if (option := self.option) is not None and self.config is not None:
            self._put(option, option.changed(option.value(self.config), by))

    def action_reset(self) -> None:
        if (option := self.option) is not None and self._preset is not None:
            self._put(option, option.value(self._preset))

    def put_text(self, text: str) -> None:
        """Set the value under the cursor from text; CommandError saying what is legal."""
        if (option := self.option) is not None and self.config is not None:
            self._put(option, option.read(text, option.value(self.config)))

    def _put(self, option: Option, value: Any) -> None:
        assert self.config is not None
        if value != option.value(self.config):
            self.config = option.put(self.config, value)
            self.redraw_row(self.cursor)
            self.post_message(self.Changed(self.config))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        row = offset.y + self.scroll_offset.y if offset else self.count
        if offset is None or row >= self.count:
            return
        was_here = row == self.cursor
        self.move_to(row)
        if was_here:
            self.action_change(1 if offset.x >= self.scrollable_content_region.width // 2 else -1)

    def draw_item(self, row: int, width: int) -> Iterable[Piece]:
        option, palette = self.rows[row], self.palette
        if isinstance(option, str) or self.config is None or self._preset is None:
            yield f" {option}", palette.dim
            return
        value = option.value(self.config)
        here = row == self.cursor and self.has_focus
        style = palette.chosen if here else palette.plain
        own = value != option.value(self._preset)
        yield "•" if own else " ", palette.strong
        yield f"{option.name:<15.15}", style
        share, text = option.share(value), format_value(value)
        if share is not None:
            yield f" {text:>7} ", palette.strong if own and not here else style
            yield bar(share, _BAR), palette.dim
        else:
            arrows = ("‹ ", " ›") if len(option.choices) > 1 else ("  ", "  ")
            shown = clip(text, width - 22)
            yield f" {arrows[0]}{shown}{arrows[1]}", palette.strong if own and not here else style
        yield "".ljust(width), style


def rows_of(config: ReplayConfig, trace: Trace | None) -> list[Option | str]:
    """The options of a configuration in order, each group below its heading."""
    rows: list[Option | str] = []
    group = ""
    for option in options_of(config, trace):
        if option.group != group:
            group = option.group
            rows.append(group)
        rows.append(option)
    return rows


def format_value(value: Any) -> str:
    """A value for people; a dash for an empty one."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "—" if value == "" else str(value)
