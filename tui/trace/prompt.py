"""The prompt as its units, with marks on those that caused the step under the cursor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from omnitrace import Trace
from omnitrace.timeline import Modality
from replay import Attribution
from tui.compare import kept_at
from tui.draw.colours import LETTERS, Palette
from tui.draw.layout import visible, wrap
from tui.draw.lines import Lines, Piece
from tui.trace.names import describe

_MARGIN = 4


class PromptScreen(ModalScreen[None]):
    """The prompt's units in order: words as they are, media by kind, name and seconds."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,v", "dismiss", "Back"),
        Binding("q", "app.quit", "Quit", show=False),
    ]

    def __init__(self, trace: Trace, attribution: Attribution, step: int) -> None:
        super().__init__()
        self.trace, self.attribution, self.step = trace, attribution, step

    def compose(self) -> ComposeResult:
        yield PromptView(self.trace, self.attribution, self.step)


class PromptView(Lines):
    """Units wrapped to the width; `▸` the step's unit, `✓` its span's curated sources."""

    def __init__(self, trace: Trace, attribution: Attribution, step: int) -> None:
        super().__init__()
        self.border_title = "prompt: ▸ this step's unit, ✓ this span's sources"
        self._items = list(prompt_items(trace, attribution))
        self._marks = dict.fromkeys(kept_at(attribution, step), "✓")
        mapped = attribution.unit[step : step + 1].tolist()  # none if the response is empty
        self._marks |= dict.fromkeys(mapped, "▸")

    def on_resize(self) -> None:
        width = max(2, self.scrollable_content_region.width - _MARGIN - 1)
        rows = []
        for modality, text, units in self._items:
            shown = visible(" ".join(text.split()))
            ranges = wrap(shown, width).ranges.tolist()
            mark = next((self._marks[u] for u in units if u in self._marks), " ")
            heads = [(mark, LETTERS[modality])] + [(" ", " ")] * len(ranges)
            rows += [
                (*head, modality, shown[a:b]) for head, (a, b) in zip(heads, ranges, strict=False)
            ]

        def draw(row: int, width: int, palette: Palette) -> Iterable[Piece]:
            mark, letter, modality, text = rows[row]
            yield f"{mark} ", palette.strong
            yield f"{letter} ", palette.ink[modality]
            yield text, palette.plain

        self.show(len(rows), draw)


def prompt_items(
    trace: Trace, attribution: Attribution
) -> Iterable[tuple[Modality, str, tuple[int, ...]]]:
    """Modality, text and units of each thing in the prompt: a text unit, or a whole medium."""
    units = attribution.units
    seen: set[int] = set()
    for unit, text in enumerate(units.text):
        medium = int(units.medium[unit])
        if medium < 0:
            yield Modality.TEXT, text or units.label[unit], (unit,)
        elif medium not in seen:
            seen.add(medium)
            owned = tuple(j for j in range(len(units)) if units.medium[j] == medium)
            described = describe(trace.media[medium])
            yield Modality[trace.media[medium].kind.upper()], described, owned
