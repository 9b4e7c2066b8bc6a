"""The answer span by span, one voice beside the other; disagreements first if the reader likes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from textual.binding import Binding, BindingType

from replay.methods.compare import Parting
from tui.draw.colours import LETTERS, Palette
from tui.draw.layout import clip
from tui.draw.lines import Piece
from tui.draw.table import Table
from tui.readings.side import AGREED, ALONE, Compared, Entry, Sides

_NOBODY = Sides((), ())
TITLES, TEXT = -2, -1
_LEAST = 9  # cells that a source's name has beside the reasons


@dataclass(frozen=True)
class Line:
    """A row of the table: the titles, a span's text, or the `entry`-th sources of every voice."""

    span: Compared
    entry: int


class SideBySide(Table, inherit_bindings=False):
    """Each span with what every voice says caused it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "order", "Disagreements first", show=False),
        Binding("a", "screen.cause", "Another cause", show=False),
        *Table.BINDINGS,
    ]

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._sides = _NOBODY
        self.worst_first = False
        self._lines: list[Line] = []

    def show_sides(self, sides: Sides) -> None:
        """Show what the voices say."""
        self._sides = sides
        self._lay(self.cursor)

    def say(self, text: str, wrong: bool = False) -> None:
        self._sides, self._lines = _NOBODY, []
        super().say(text, wrong)

    def span_at(self, row: int) -> int | None:
        """The span of a row."""
        return self._lines[row].span.k if 0 <= row < len(self._lines) else None

    def partings_at(self, row: int) -> list[Entry]:
        """The sources in a row at which signal and cause part ways."""
        line = self._lines[row] if 0 <= row < len(self._lines) else None
        if line is None or line.entry < 0:
            return []
        said = [entry for voice in line.span.voices for entry in voice[line.entry : line.entry + 1]]
        return [entry for entry in said if entry.parting]

    def action_order(self) -> None:
        """Disagreements first, or as the answer goes."""
        self.worst_first = not self.worst_first
        self._lay(0)

    def _lay(self, cursor: int) -> None:
        spans = self._sides.spans
        if self.worst_first:
            spans = tuple(sorted(spans, key=lambda span: -span.apart))
        titles = [Line(spans[0], TITLES)] if spans else []
        self._lines = titles + [
            line
            for span in spans
            for line in (Line(span, TEXT), *(Line(span, i) for i in range(max(1, _depth(span)))))
        ]
        apart = sum(span.apart > 0 for span in spans)
        order = "disagreements first" if self.worst_first else "in order"
        self.border_title = f"side by side · {apart} of {len(spans)} spans disagree · {order} (o)"
        self.fill(len(self._lines), cursor)

    def draw_item(self, row: int, width: int) -> Iterable[Piece]:
        line, palette = self._lines[row], self.palette
        here = row == self.cursor and self.has_focus
        style = palette.chosen if here else palette.strong
        cells = (width - 5) // max(1, len(line.span.voices))
        if line.entry == TITLES:
            yield "     ", palette.dim
            titles = (_title(title, cells - 1) for title in self._sides.titles)
            yield from ((title.ljust(cells), palette.dim) for title in titles)
            return
        if line.entry == TEXT:
            mark = "≠" if line.span.apart else " "
            yield f"{mark}{line.span.k + 1:>3} ", palette.error if line.span.apart else palette.dim
            yield clip(line.span.text, width - 6).ljust(width), style
            return
        yield "   ▸ " if here else "     ", palette.strong
        for entries in line.span.voices:
            yield from _entry(entries, line.entry, cells, palette)


def _depth(span: Compared) -> int:
    return max((len(entries) for entries in span.voices), default=0)


def _entry(entries: tuple[Entry, ...], at: int, cells: int, palette: Palette) -> Iterable[Piece]:
    """One voice's `at`-th source in `cells` cells; a voice without any says so."""
    if at >= len(entries):
        yield ("nothing" if at == 0 else "").ljust(cells), palette.dim
        return
    entry = entries[at]
    yield f"{entry.sign} ", _sign_style(entry.sign, palette)
    if entry.modality is not None:
        yield f"{LETTERS[entry.modality]} ", palette.ink[entry.modality]
    room = cells - 5 + 2 * (entry.modality is None)
    why = " " + _why(entry.parting, room - _LEAST) if entry.parting else ""
    text = clip(entry.text, room - cell_len(why))
    yield text, palette.plain
    yield why, palette.dim
    yield " " * (room + 1 - cell_len(text) - cell_len(why)), palette.plain


def _why(parting: Parting, cells: int) -> str:
    """`≠` and the reasons; without them where there is no room."""
    reasons = ", ".join(parting.reasons)
    return clip(f"≠ {reasons}", cells) if reasons and cells > _LEAST else "≠"


def _title(title: str, cells: int) -> str:
    """A voice's title, or where there is no room what tells it from the others."""
    short = " ".join(title.replace("because of", "").strip(" ,").split())
    return title if len(title) <= cells or not short else clip(short, cells)


def _sign_style(sign: str, palette: Palette) -> Style:
    return {AGREED: palette.strong, ALONE: palette.error}.get(sign, palette.dim)
