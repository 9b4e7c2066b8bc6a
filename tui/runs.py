"""The samples of a run, one a row, drawn only where they are seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer

from omnitrace import Trace
from omnitrace.run import SampleTable
from omnitrace.timeline import Modality
from replay import ReplayConfig
from tui.colours import LETTERS, Palette
from tui.layout import clip
from tui.lines import Lines, Piece
from tui.trace import TraceScreen

_ID_CELLS = (8, 28)  # the narrowest and the widest column of ids


class RunScreen(Screen[None]):
    """All samples of a run; Enter reads one."""

    AUTO_FOCUS = "#samples"

    def __init__(
        self,
        run: Mapping[str, Trace],
        table: SampleTable,
        damage: Sequence[str],
        configs: Mapping[str, ReplayConfig],
    ) -> None:
        super().__init__()
        self.run, self.table, self.damage, self.configs = run, table, damage, configs

    def compose(self) -> ComposeResult:
        yield Lines("columns")
        yield SampleList(self.table, "samples")
        if self.damage:
            yield Lines("damage")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        columns = self.query_one("#columns", Lines)
        columns.can_focus = False
        columns.show(1, self.query_one(SampleList).draw_columns)
        if self.damage:
            self.query_one("#damage", Lines).say("  ".join(self.damage), wrong=True)
        if not len(self.table):
            self.query_one(SampleList).say("This run holds no sample yet.")

    def on_chosen(self, message: Chosen) -> None:
        self.read(message.row)

    def read(self, row: int) -> None:
        """Open a sample; coming back, the cursor is on the last one read."""
        screen = TraceScreen(self.run, self.table.ids, row, self.configs)
        self.app.push_screen(screen, self._return)

    def _return(self, row: int | None) -> None:
        if row is not None:
            self.query_one(SampleList).move_to(row)


@dataclass
class Chosen(Message):
    """A sample is to be read."""

    row: int


class SampleList(Lines, inherit_bindings=False):
    """A row a sample: id, modalities, prompt tokens, steps and how the response begins."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Read"),
        Binding("up,k", "move(-1)", "Row above", show=False),
        Binding("down,j", "move(1)", "Row below", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "first", "First sample", show=False),
        Binding("end,G", "last", "Last sample", show=False),
    ]

    def __init__(self, table: SampleTable, id: str | None = None) -> None:
        super().__init__(id=id)
        self.table = table
        self.cursor = 0
        low, high = _ID_CELLS
        longest = max((cell_len(clip(sample, high)) for sample in table.ids[:1000]), default=low)
        self._id_cells = max(low, min(high, longest))

    def on_mount(self) -> None:
        self.show(len(self.table), self._draw_sample)

    def move_to(self, row: int) -> None:
        """Put the cursor on a row, or the nearest there is."""
        self.cursor = max(0, min(row, len(self.table) - 1))
        self.redraw()
        width = self.scrollable_content_region.width
        self.scroll_to_region(Region(0, self.cursor, width, 1), animate=False, force=True)

    def action_move(self, by: int) -> None:
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.move_to(self.cursor + by * max(1, self.scrollable_content_region.height - 1))

    def action_first(self) -> None:
        self.move_to(0)

    def action_last(self) -> None:
        self.move_to(len(self.table) - 1)

    def action_choose(self) -> None:
        if len(self.table):
            self.post_message(Chosen(self.cursor))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        row = offset.y + self.scroll_offset.y if offset else len(self.table)
        if row < len(self.table):
            self.move_to(row)
            self.action_choose()

    def draw_columns(self, _row: int, width: int, palette: Palette) -> Iterable[Piece]:
        """The titles of the columns."""
        title = "sample".ljust(self._id_cells)
        yield f"  {title}  from  {'n':>7}  {'T':>6}  ", palette.dim
        yield f"response · {len(self.table):,} samples", palette.dim

    def _draw_sample(self, row: int, width: int, palette: Palette) -> Iterable[Piece]:
        here, table = row == self.cursor, self.table
        style = palette.chosen if here else palette.plain
        under = Style(bgcolor=style.bgcolor)
        id = clip(table.ids[row], self._id_cells)
        yield ("▸ " if here else "  ") + id + " " * (self._id_cells - cell_len(id) + 2), style
        for modality in list(Modality)[:4]:
            there = table.modalities[row, modality] > 0
            ink = palette.ink[modality] if there else palette.dim
            yield LETTERS[modality] if there else "·", Style.combine((ink, under))
        yield f"  {table.n[row]:>7,}  {table.T[row]:>6,}  ", style
        preview = clip(table.previews[row], width - self._id_cells - 27)
        yield preview.ljust(width), style
