"""Rows of styled text, drawn only where they are visible: the base of all panes.

Every other widget of the browser is a `Lines`. All text goes through `strip`, which makes it
visible and hands it to the terminal as segments: never through markup, never unsafe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.segment import Segment
from rich.style import Style
from textual.cache import LRUCache
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.draw.colours import Palette, palette_of
from tui.draw.layout import visible, wrap

Piece = tuple[str, Style]
Draw = Callable[[int, int, Palette], Iterable[Piece]]

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = " ▁▂▃▄▅▆▇█"


def strip(pieces: Iterable[Piece], width: int) -> Strip:
    """One row of exactly `width` cells."""
    segments = [Segment(visible(text), style) for text, style in pieces if text]
    return Strip(segments).adjust_cell_length(width)


def bar(share: float, cells: int) -> str:
    """A horizontal bar of `cells` cells, full at share 1, in eighths of a cell."""
    eighths = round(min(max(share, 0.0), 1.0) * cells * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(cells)


def heights(shares: Iterable[float]) -> str:
    """A cell a share from 0 to 1, filled from below in eighths."""
    return "".join(_HEIGHTS[min(8, max(0, round(share * 8)))] for share in shares)


class Lines(ScrollView, can_focus=True):
    """`count` rows, drawn by `draw(row, width, palette)` when they come into view."""

    DEFAULT_CSS = "Lines { overflow-x: hidden; scrollbar-size-vertical: 1; }"

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.count = 0
        self._draw: Draw | None = None
        self._message: tuple[str, bool] | None = None
        self._strips: LRUCache[tuple[int, int], Strip] = LRUCache(1024)
        self._palette: Palette | None = None
        self._base: Style | None = None  # Textual computes it at each access

    @property
    def palette(self) -> Palette:
        """The styles of the theme, computed once."""
        if self._palette is None:
            self._palette = palette_of(self.app)
        return self._palette

    def show(self, count: int, draw: Draw) -> None:
        """Show other rows, from the top."""
        self._message = None
        self.count, self._draw = count, draw
        self.virtual_size = Size(self.scrollable_content_region.width, count)
        self.scroll_to(y=0, animate=False)
        self.redraw()

    def show_message(self, text: str, wrong: bool = False) -> None:
        """Show a message in place of the rows: the progress, or (`wrong`) an error."""
        shown = visible(" ".join(text.split()))
        rows = wrap(shown, max(2, self.scrollable_content_region.width - 2))

        def draw(row: int, width: int, palette: Palette) -> Iterable[Piece]:
            start, end = rows.ranges[row]
            yield " ", palette.plain
            yield shown[start:end], palette.error if wrong else palette.dim

        self.show(len(rows), draw)
        self._message = (text, wrong)

    def on_resize(self) -> None:
        if self._message:
            self.show_message(*self._message)

    def redraw_row(self, row: int) -> None:
        """Forget what was drawn of one row."""
        self._strips.discard((row, self.scrollable_content_region.width))
        self.refresh_line(row)

    def redraw(self) -> None:
        """Forget what was drawn."""
        self._strips.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        self._strips.clear()
        self._base = self._palette = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        row, width = y + self.scroll_offset.y, self.scrollable_content_region.width
        if self._base is None:
            self._base = self.rich_style
        if row >= self.count:
            return Strip.blank(width, self._base)
        if (row, width) not in self._strips:
            drawn = strip(self.draw_row(row, width), width)
            self._strips[row, width] = drawn.apply_style(self._base)
        return self._strips[row, width]

    def draw_row(self, row: int, width: int) -> Iterable[Piece]:
        """The pieces of one row."""
        return self._draw(row, width, self.palette) if self._draw else ()
