"""The units that caused the step under the cursor, and those that caused its span.

Draws rows of an attribution; knows no screen, no run and no computation. A row under the cursor
has a unit, so that the tokens which the unit caused can be highlighted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from omnitrace.arrays import Float32
from omnitrace.timeline import Modality
from replay import Dropped, Source
from replay.faithfulness.verdict import CAUSED, Verdict
from replay.words import reliability_text
from tui.draw.colours import LETTERS
from tui.draw.lines import Piece, bar
from tui.trace.names import name, number
from tui.trace.state import StepView
from tui.trace.target import Target, TargetTable

_NAME_CELLS = 60
_VERDICT = 12  # cells of a verdict
_WIDE = 52  # cells from which a curated source has room for a bar too


class UnitTable(TargetTable):
    """Rows that are units; `unit_at` returns which."""

    units_shown: Sequence[int] = ()

    def unit_at(self, row: int) -> int | None:
        """The unit of a row, if it is one."""
        return self.units_shown[row] if 0 <= row < len(self.units_shown) else None

    def target(self, row: int) -> Target | None:
        unit = self.unit_at(row)
        return Target(unit=unit) if unit is not None and unit >= 0 else None

    def show_message(self, text: str, wrong: bool = False) -> None:
        self.units_shown = ()
        super().show_message(text, wrong)

    @property
    def pointer(self) -> int:
        """The row to show as under the cursor; -1 while the table has no focus."""
        return self.cursor if self.has_focus else -1


class StepSources(UnitTable):
    """All units by their mass at one step (or a group of steps); the mapped one is response."""

    _view: StepView
    _mass: Float32

    def show_step(self, view: StepView) -> None:
        """Show the mean masses of the steps of a view."""
        self._view, (first, last) = view, view.steps
        self._mass = view.attribution.mass[first:last].mean(axis=0)
        order = np.argsort(-self._mass, kind="stable")
        self.units_shown = order.tolist()
        steps = f"step {first + 1}" + (f"–{last}" if last - first > 1 else "")
        self.border_title = f"{steps} · {len(order)} units by mass"
        self.fill(len(order))

    def draw_item(self, row: int, width: int) -> Iterable[Piece]:
        palette, unit = self.palette, self.units_shown[row]
        units = self._view.attribution.units
        modality, own = Modality(units.modality[unit]), unit == self._view.unit
        top, cells = float(self._mass.max(initial=0.0)), max(6, min(24, width // 4))
        mass = float(self._mass[unit])
        style = palette.chosen if row == self.pointer else palette.strong if own else palette.plain
        yield "▸ " if own else "  ", style
        yield LETTERS[modality], palette.ink[modality]
        yield f" {number(mass)} ", style
        yield bar(mass / top if top > 0 else 0.0, cells), palette.bar[modality]
        yield " " + name(units, unit, width - cells - 12).ljust(width), style


class OtherSource(NamedTuple):
    """A source that only the other attribution has as a unit."""

    modality: Modality
    text: str


class SpanSources(UnitTable):
    """The curated sources of one span, then the dropped ones with the rule that dropped them.

    Where removals of units were recorded, what each did. Compared to another attribution: `+`
    where only this one keeps a source, `-` where only the other.
    """

    _shown: tuple[object, ...] | None = None

    def show_step(self, view: StepView) -> None:
        """Show the sources of the span of a view; without one, why there are none."""
        attribution, k = view.attribution, view.span
        if k is None:
            self.border_title = "no span"
            self.show_message(f"Not attributed: response = {attribution.config.response}.")
            return
        shown = id(attribution), k, id(view.other), view.other_span
        if self._shown == shown:
            return
        self._shown = shown
        span = attribution.spans[k]
        self._units, self._verdicts = attribution.units, dict(span.verdicts)
        own: list[Source | Dropped] = [*span.sources, *span.dropped]
        named = {attribution.units.id[source.unit] for source in own}
        self._others = _kept(view)
        self._sources: list[Source | Dropped | OtherSource] = [*own]
        self._sources += [other for id, other in (self._others or {}).items() if id not in named]
        self.units_shown = [-1 if isinstance(s, OtherSource) else s.unit for s in self._sources]
        kept, lost = len(span.sources), len(span.dropped)
        number = f"span {k + 1} · thinking" if span.thinking else f"span {k + 1}"
        tested = " · effect of removal in nats" if self._verdicts else ""
        trust = reliability_text(span)
        number += f" · {trust}" if trust else ""
        self.border_title = f"{number} · {kept} kept, {lost} dropped · share run score{tested}"
        if self._sources:
            self.fill(len(self._sources))
        else:
            self.show_message("No step of this span cast a vote.")

    def show_message(self, text: str, wrong: bool = False) -> None:
        self._shown = None
        super().show_message(text, wrong)

    def draw_item(self, row: int, width: int) -> Iterable[Piece]:
        source, palette = self._sources[row], self.palette
        if isinstance(source, OtherSource):
            yield "- ", palette.dim
            yield LETTERS[source.modality], palette.ink[source.modality]
            yield f"  {source.text}".ljust(width), palette.dim
            return
        here = row == self.pointer
        style = palette.strong if isinstance(source, Source) else palette.dim
        style = palette.chosen if here else style
        modality = Modality(self._units.modality[source.unit])
        yield f"{self._sign(source)} ", style
        yield LETTERS[modality], palette.ink[modality]
        yield f"  {_numbers(source)} ", style
        if width >= _WIDE:
            yield bar(source.mass, width // 6), palette.bar[modality]
            yield " ", style
        used = 21 + (width // 6 + 1 if width >= _WIDE else 0)
        if self._verdicts:
            verdict = self._verdicts.get(source.unit, Verdict())
            yield f"{_verdict(verdict):<{_VERDICT}} ", style
            used += _VERDICT + 1
        yield name(self._units, source.unit, width - used).ljust(width), style

    def _sign(self, source: Source | Dropped) -> str:
        """`✓` kept, `✗` dropped; `+` or `-` where another attribution differs."""
        own = isinstance(source, Source)
        other = own if self._others is None else self._units.id[source.unit] in self._others
        return {(True, True): "✓", (False, False): "✗", (True, False): "+"}.get((own, other), "-")


def _numbers(source: Source | Dropped) -> str:
    """Sixteen cells: share, run and score of a kept source; share and rule of a dropped one."""
    if isinstance(source, Source):
        return f"{source.mass:4.2f} {source.run:4.2f}  {source.score:4.2f}"
    return f"{source.mass:4.2f} {source.rule:<10}"


def _verdict(verdict: Verdict) -> str:
    """What the removal of a source did: `caused −4.0`, in nats of the span's log-odds."""
    if verdict.cause != CAUSED or verdict.effect is None:
        return verdict.cause
    return f"{verdict.cause} −{verdict.effect:.1f}"


def _kept(view: StepView) -> dict[str, OtherSource] | None:
    """The curated sources of the other attribution, by id; None without one."""
    if view.other is None or view.other_span is None:
        return None
    units, sources = view.other.units, view.other.spans[view.other_span].sources
    kinds = [Modality(int(units.modality[source.unit])) for source in sources]
    return {
        units.id[source.unit]: OtherSource(kind, name(units, source.unit, _NAME_CELLS))
        for source, kind in zip(sources, kinds, strict=True)
    }
