"""A preview of one sample: the parts of its prompt, and its whole answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from rich.style import Style
from textual.content import Content

from omnitrace import Trace
from omnitrace.timeline import Modality
from tui.draw.colours import LETTERS, Palette
from tui.draw.layout import visible, wrap
from tui.draw.lines import Lines, Piece
from tui.runs.samples import KINDS
from tui.trace.names import describe

_LONGEST = 4000  # characters shown of a text: the trace view has them all

Row = Sequence[tuple[str, str]]  # pieces of text and the names of their styles in a palette


class Preview(Lines, can_focus=False):
    """The content of a sample, to decide whether to open it."""

    _trace: Trace | None = None

    def show_trace(self, trace: Trace) -> None:
        """Show a sample."""
        self._trace, self._message = trace, None
        self.border_title = Content(visible(trace.id[:200]))
        self._update_rows()

    def show_message(self, text: str, wrong: bool = False) -> None:
        self._trace = None
        super().show_message(text, wrong)

    def on_resize(self) -> None:
        super().on_resize()
        self._update_rows()

    def _update_rows(self) -> None:
        if self._trace is None:
            return
        rows = preview_rows(self._trace, max(2, self.scrollable_content_region.width - 2))

        def draw(row: int, width: int, palette: Palette) -> Iterable[Piece]:
            yield " ", palette.plain
            yield from ((text, _style(name, palette)) for text, name in rows[row])

        self.show(len(rows), draw)


def preview_rows(trace: Trace, width: int) -> list[Row]:
    """The rows of a preview, wrapped to `width` cells."""
    counts = np.bincount(trace.timeline.modality, minlength=len(Modality))
    made: list[tuple[str, str]] = [(f"n {trace.n:,}  T {trace.T:,}  ", "dim")]
    for modality in KINDS:
        if counts[modality]:
            made += [(LETTERS[modality], modality.label), (f" {counts[modality]:,}  ", "dim")]
    media = [(Modality[medium.kind.upper()], describe(medium)) for medium in trace.media]
    return [
        made,
        *([(f"{LETTERS[kind]} ", kind.label), (text, "plain")] for kind, text in media),
        [],
        *([(line, "plain")] for line in _wrapped(trace.response, width)),
    ]


def _wrapped(text: str, width: int) -> list[str]:
    shown = visible(" ".join(text[:_LONGEST].split())) or "(the response is empty)"
    more = ["…"] if len(text) > _LONGEST else []
    return [shown[start:end] for start, end in wrap(shown, width).ranges.tolist()] + more


def _style(name: str, palette: Palette) -> Style:
    if name in ("plain", "dim"):
        return palette.plain if name == "plain" else palette.dim
    return palette.ink[Modality[name.upper()]]
