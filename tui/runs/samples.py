"""The samples of a run as rows: those that a query selects, in a chosen order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

import numpy as np
from rich.cells import cell_len
from rich.style import Style
from textual.binding import Binding, BindingType

from omnitrace.arrays import Array, Float32, Int64
from omnitrace.store.run import SampleTable
from omnitrace.timeline import Modality
from tui.draw.colours import LETTERS, Palette
from tui.draw.layout import clip
from tui.draw.lines import Piece, bar
from tui.draw.table import Table
from tui.query import Columns, among, holding
from tui.runs.measures import Measures

KINDS = [m for m in Modality if m != Modality.SPECIAL]
SORTS = ("recorded", "id", "n", "steps", "f1", "differs")
_ID_CELLS = (8, 28)  # the narrowest and the widest column of ids
_MEASURE_CELLS = 10


def columns_of(table: SampleTable, measures: Measures) -> Columns:
    """The fields of samples that a query can name."""
    texts = [f"{id}\n{preview}" for id, preview in zip(table.ids, table.previews, strict=True)]
    there = {m.label: table.modalities[:, m] > 0 for m in KINDS}
    return Columns(
        len(table),
        {"n": table.n, "steps": table.T, "f1": measures.f1, "differs": measures.differs},
        {"text": holding(texts), "has": among(there), "is": among({"broken": measures.broken})},
    )


def sorting(sort: str, table: SampleTable, measures: Measures, backwards: bool = False) -> Int64:
    """(S,) int64: the samples in order; unknown values come last in both directions."""
    columns: dict[str, Callable[[], Array]] = {
        "recorded": lambda: np.arange(len(table)),
        "id": lambda: np.argsort(np.argsort(np.array(table.ids, object), kind="stable")),
        "n": lambda: table.n,
        "steps": lambda: table.T,
        "f1": lambda: measures.f1,
        "differs": lambda: measures.differs,
    }
    values = np.asarray(columns.get(sort, columns["recorded"])(), np.float64)
    order = np.argsort(-values if backwards else values, kind="stable")
    return order.astype(np.int64)


class SampleList(Table, inherit_bindings=False):
    """A row a sample: id, modalities, prompt tokens, steps, measures, how the response begins."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Read"),
        *Table.BINDINGS[1:],
    ]

    def __init__(self, table: SampleTable, measures: Measures, id: str | None = None) -> None:
        super().__init__(id=id)
        self.table, self.measures = table, measures
        self.order: Int64 = np.arange(len(table))
        low, high = _ID_CELLS
        longest = max((cell_len(clip(sample, high)) for sample in table.ids[:1000]), default=low)
        self._id_cells = max(low, min(high, longest))

    @property
    def here(self) -> int | None:
        """The sample under the cursor."""
        return int(self.order[self.cursor]) if len(self.order) and self.count else None

    def show_order(self, order: Int64) -> None:
        """Show these samples, the cursor on the one that it was on, if it is among them."""
        here = self.here
        self.order = order
        at = np.flatnonzero(order == here)
        self.fill(len(order), int(at[0]) if here is not None and len(at) else 0)
        if not len(self.table):
            self.show_message("This run holds no sample yet.")
        elif not len(order):
            self.show_message(
                "No sample is like that. Press / to ask otherwise, Escape to see them all."
            )

    def go_to(self, sample: int) -> None:
        """Put the cursor on a sample, if it is among those shown."""
        at = np.flatnonzero(self.order == sample)
        if len(at):
            self.move_to(int(at[0]))

    @property
    def measured(self) -> list[tuple[str, Float32]]:
        """The measured columns that have a value."""
        known = (("F1", self.measures.f1), ("A≠B", self.measures.differs))
        return [(title, values) for title, values in known if not np.isnan(values).all()]

    def _response_cells(self, width: int) -> int:
        return width - self._id_cells - 28 - _MEASURE_CELLS * len(self.measured)

    def draw_columns(self, width: int, palette: Palette) -> Iterable[Piece]:
        """The titles of the columns."""
        title = "sample".ljust(self._id_cells)
        measured = "".join(title.ljust(_MEASURE_CELLS) for title, _ in self.measured)
        yield f"  {title}  from  {'n':>7}  {'T':>6}  {measured}", palette.dim
        of = f" of {len(self.table):,}" if len(self.order) < len(self.table) else ""
        count = f"{len(self.order):,}{of}"
        room = self._response_cells(width)
        titles = (f"response · {count} samples", f"{count} samples", count)
        yield next((text for text in titles if len(text) <= room), count), palette.dim

    def draw_item(self, row: int, width: int) -> Iterable[Piece]:
        palette, table, sample = self.palette, self.table, int(self.order[row])
        here = row == self.cursor
        style = palette.chosen if here else palette.plain
        under = Style(bgcolor=style.bgcolor)
        id = clip(table.ids[sample], self._id_cells)
        yield ("▸ " if here else "  ") + id + " " * (self._id_cells - cell_len(id) + 2), style
        for modality in KINDS:
            there = table.modalities[sample, modality] > 0
            ink = palette.ink[modality] if there else palette.dim
            yield LETTERS[modality] if there else "·", Style.combine((ink, under))
        yield f"  {table.n[sample]:>7,}  {table.T[sample]:>6,}  ", style
        room = self._response_cells(width)
        for _, values in self.measured:
            yield from _measure(float(values[sample]), style, Style.combine((palette.dim, under)))
        if self.measures.broken[sample]:
            yield "cannot be read  ", Style.combine((palette.error, under))
        yield clip(table.previews[sample], room).ljust(max(0, room) + 1), style


def _measure(value: float, style: Style, dim: Style) -> Iterable[Piece]:
    if np.isnan(value):
        yield "·".ljust(_MEASURE_CELLS), dim
    else:
        yield f"{value:4.2f} ", style
        yield bar(value, _MEASURE_CELLS - 6) + " ", dim
