"""What caused it: the units behind the step under the cursor, and behind its span.

Draws rows of an attribution; knows no screen, no run and no computation.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from rich.style import Style

from omnitrace.timeline import Modality
from omnitrace.units import Units
from replay import Attribution, Dropped, Source
from tui.colours import LETTERS, Palette
from tui.layout import clip
from tui.lines import Lines, Piece, bar

_ROOMY = 52  # cells from which a curated source has room for a bar too


class StepSources(Lines):
    """All units by their mass at one step; the one it is mapped to is marked."""

    def show_step(self, attribution: Attribution, step: int) -> None:
        units, mass = attribution.units, attribution.mass[step]
        order = np.argsort(-mass, kind="stable")
        mapped, top = int(attribution.unit[step]), float(mass.max(initial=0.0))

        def draw(row: int, width: int, palette: Palette) -> Iterable[Piece]:
            unit = int(order[row])
            modality, own = Modality(units.modality[unit]), unit == mapped
            cells = max(6, min(24, width // 4))
            yield "▸ " if own else "  ", palette.strong
            yield LETTERS[modality], palette.ink[modality]
            yield f" {number(float(mass[unit]))} ", palette.strong if own else palette.plain
            yield bar(float(mass[unit]) / top if top > 0 else 0.0, cells), palette.bar[modality]
            label_style = palette.strong if own else palette.plain
            yield " " + name(units, unit, width - cells - 12), label_style

        self.border_title = f"step {step + 1} · {len(order)} units by mass"
        self.show(len(order), draw)


class SpanSources(Lines):
    """The curated sources of one span, then the dropped ones with the rule that dropped them."""

    _shown: tuple[Attribution, int] | None = None

    def show_span(self, attribution: Attribution, k: int) -> None:
        if self._shown and self._shown[0] is attribution and self._shown[1] == k:
            return
        self._shown = attribution, k
        span, units = attribution.spans[k], attribution.units
        found: list[Source | Dropped] = [*span.sources, *span.dropped]

        def draw(row: int, width: int, palette: Palette) -> Iterable[Piece]:
            if row == 0:
                return [("     mass  run score", palette.dim)]
            source = found[row - 1]
            if isinstance(source, Source):
                return _draw_kept(source, units, width, palette)
            return _draw_dropped(source, units, width, palette)

        kept, lost = len(span.sources), len(span.dropped)
        self.border_title = f"span {k + 1} · {kept} kept, {lost} dropped"
        if found:
            self.show(len(found) + 1, draw)
        else:
            self.say("No step of this span cast a vote.")


def number(mass: float) -> str:
    """A mass in six cells; the smallest keep their first digit."""
    return f"{mass:6.3f}" if mass >= 0.001 or mass <= 0 else f"{mass:6.0e}"


def name(units: Units, unit: int, cells: int) -> str:
    """A unit for people, in at most `cells` cells: its label, and its words where it has any."""
    words = units.text[unit]
    return clip(f"{units.label[unit]} “{words}”" if words else units.label[unit], cells)


def _draw_kept(source: Source, units: Units, width: int, palette: Palette) -> Iterable[Piece]:
    modality = Modality(units.modality[source.unit])
    yield "✓ ", palette.strong
    yield LETTERS[modality], palette.ink[modality]
    yield f"  {source.mass:4.2f} {source.run:4.2f}  {source.score:4.2f} ", palette.plain
    yield from _bar(source.mass, width, palette.bar[modality])
    yield name(units, source.unit, _label_cells(width)), palette.strong


def _draw_dropped(source: Dropped, units: Units, width: int, palette: Palette) -> Iterable[Piece]:
    modality = Modality(units.modality[source.unit])
    yield "✗ ", palette.dim
    yield LETTERS[modality], palette.ink[modality]
    yield f"  {source.mass:4.2f} {source.rule:<10} ", palette.dim
    yield from _bar(source.mass, width, palette.bar[modality])
    yield name(units, source.unit, _label_cells(width)), palette.dim


def _bar(share: float, width: int, style: Style) -> Iterable[Piece]:
    if width >= _ROOMY:
        yield bar(share, width // 6), style
        yield " ", Style.null()


def _label_cells(width: int) -> int:
    return width - 21 - (width // 6 + 1 if width >= _ROOMY else 0)
