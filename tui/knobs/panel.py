"""The configuration beside the tokens: move to a value, turn it, see what becomes of the answer."""

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
from tui.knobs.fields import Knob, knobs_of

_BAR = 10


@dataclass
class Changed(Message):
    """The reader has another configuration in mind."""

    config: ReplayConfig


class Knobs(Table, inherit_bindings=False):
    """A row a value: its name, its value, where it stands; `•` where it is not the preset's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "turn(-1)", "Less, choice before", show=False),
        Binding("right,l", "turn(1)", "More, next choice", show=False),
        Binding("shift+left,H", "turn(-10)", "Ten steps less", show=False),
        Binding("shift+right,L", "turn(10)", "Ten steps more", show=False),
        Binding("backspace,r", "reset", "As the preset has it", show=False),
        Binding("enter", "choose", "Type a value", show=False),
        *Table.BINDINGS[1:],
    ]

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.config: ReplayConfig | None = None
        self._preset: ReplayConfig | None = None
        self._rows: list[Knob | str] = []

    def show_config(
        self, config: ReplayConfig, base: ReplayConfig, name: str, trace: Trace | None
    ) -> None:
        """Show a configuration, marked where it is not what `base`, the preset, says."""
        self.config, self._preset = config, base
        rows: list[Knob | str] = []
        group = ""
        for knob in knobs_of(config, trace):
            if knob.group != group:
                group = knob.group
                rows.append(group)
            rows.append(knob)
        self.border_title = f"configuration · {name}"
        kept = self.cursor if len(rows) == len(self._rows) else 0
        self._rows = rows
        self.fill(len(rows), kept)
        self._explain()

    @property
    def knob(self) -> Knob | None:
        """The value under the cursor; None on a heading."""
        row = self._rows[self.cursor] if self._rows else ""
        return None if isinstance(row, str) else row

    def move_to(self, row: int) -> None:
        super().move_to(row)
        self._explain()

    def _explain(self) -> None:
        knob = self.knob
        self.border_subtitle = clip(knob.help, max(8, self.size.width - 6)) if knob else ""

    def action_turn(self, by: int) -> None:
        if (knob := self.knob) is not None and self.config is not None:
            self._put(knob, knob.turned(knob.value(self.config), by))

    def action_reset(self) -> None:
        if (knob := self.knob) is not None and self._preset is not None:
            self._put(knob, knob.value(self._preset))

    def put_text(self, text: str) -> None:
        """Set the value under the cursor from text; CommandError saying what is legal."""
        if (knob := self.knob) is not None and self.config is not None:
            self._put(knob, knob.read(text, knob.value(self.config)))

    def _put(self, knob: Knob, value: Any) -> None:
        assert self.config is not None
        if value != knob.value(self.config):
            self.config = knob.put(self.config, value)
            self.redraw_row(self.cursor)
            self.post_message(Changed(self.config))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        row = offset.y + self.scroll_offset.y if offset else self.count
        if offset is None or row >= self.count:
            return
        again = row == self.cursor
        self.move_to(row)
        if again:
            self.action_turn(1 if offset.x >= self.scrollable_content_region.width // 2 else -1)

    def draw_item(self, row: int, width: int) -> Iterable[Piece]:
        knob, palette = self._rows[row], self.palette
        if isinstance(knob, str) or self.config is None or self._preset is None:
            yield f" {knob}", palette.dim
            return
        value = knob.value(self.config)
        here = row == self.cursor and self.has_focus
        style = palette.chosen if here else palette.plain
        own = value != knob.value(self._preset)
        yield "•" if own else " ", palette.strong
        yield f"{knob.name:<15.15}", style
        share, told = knob.share(value), said(value)
        if share is not None:
            yield f" {told:>7} ", palette.strong if own and not here else style
            yield bar(share, _BAR), palette.dim
        else:
            arrows = ("‹ ", " ›") if len(knob.choices) > 1 else ("  ", "  ")
            shown = clip(told, width - 22)
            yield f" {arrows[0]}{shown}{arrows[1]}", palette.strong if own and not here else style
        yield "".ljust(width), style


def said(value: Any) -> str:
    """A value for people; nothing is said to be nothing."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "—" if value == "" else str(value)
