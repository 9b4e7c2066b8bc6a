"""What caused it: the units behind the step under the cursor, and behind its span.

Draws rows of an attribution; knows no screen, no run and no computation. A row that is pointed at
tells which unit it is, so that the tokens which the unit caused can be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnitrace.timeline import Modality
from replay import Attribution, Dropped, Source
from tui.draw.colours import LETTERS
from tui.draw.lines import Piece, bar
from tui.draw.table import Table
from tui.trace.names import name, number

_NAME_CELLS = 60
_ROOMY = 52  # cells from which a curated source has room for a bar too


class UnitTable(Table):
    """Rows that are units; `unit_at` says which."""

    units_shown: Sequence[int] = ()

    def unit_at(self, row: int) -> int | None:
        """The unit of a row, if it is one."""
        return self.units_shown[row] if 0 <= row < len(self.units_shown) else None

    def say(self, text: str, wrong: bool = False) -> None:
        self.units_shown = ()
        super().say(text, wrong)

    @property
    def pointer(self) -> int:
        """The row to show as under the cursor; -1 while the table has no focus."""
        return self.cursor if self.has_focus else -1


class StepSources(UnitTable):
    """All units by their mass at one step (or a group of steps); the mapped one is marked."""

    _attribution: Attribution
    _mass: npt.NDArray[np.float32]
    _mapped = -1

    def show_steps(self, attribution: Attribution, steps: tuple[int, int], unit: int) -> None:
        """Show the masses of `steps`, half-open, which are traced to `unit`."""
        self._attribution, self._mapped = attribution, unit
        self._mass = attribution.mass[slice(*steps)].mean(axis=0)
        order = np.argsort(-self._mass, kind="stable")
        self.units_shown = order.tolist()
        read = f"step {steps[0] + 1}" + (f"–{steps[1]}" if steps[1] - steps[0] > 1 else "")
        self.border_title = f"{read} · {len(order)} units by mass"
        self.fill(len(order))

    def draw_item(self, row: int, width: int) -> Iterable[Piece]:
        palette, units, unit = self.palette, self._attribution.units, self.units_shown[row]
        modality, own = Modality(units.modality[unit]), unit == self._mapped
        top, cells = float(self._mass.max(initial=0.0)), max(6, min(24, width // 4))
        mass = float(self._mass[unit])
        style = palette.chosen if row == self.pointer else palette.strong if own else palette.plain
        yield "▸ " if own else "  ", style
        yield LETTERS[modality], palette.ink[modality]
        yield f" {number(mass)} ", style
        yield bar(mass / top if top > 0 else 0.0, cells), palette.bar[modality]
        yield " " + name(units, unit, width - cells - 12).ljust(width), style


@dataclass(frozen=True, eq=False)
class Beside:
    """Another attribution of the same response, and the span of it to compare with."""

    attribution: Attribution
    k: int


@dataclass(frozen=True)
class Theirs:
    """A source that only the other attribution has as a unit."""

    modality: Modality
    text: str


class SpanSources(UnitTable):
    """The curated sources of one span, then the dropped ones with the rule that dropped them.

    Beside another attribution: `+` where only this one keeps a source, `-` where only the other.
    """

    _shown: tuple[object, ...] | None = None

    def show_span(
        self, attribution: Attribution, k: int | None, beside: Beside | None = None
    ) -> None:
        """Show the sources of the k-th span; without one, why there are none."""
        if k is None:
            self.border_title = "no span"
            self.say(f"Not attributed: response = {attribution.config.response}.")
            return
        theirs = (id(beside.attribution), beside.k) if beside else None
        if self._shown == (id(attribution), k, theirs):
            return
        self._shown = id(attribution), k, theirs
        span = attribution.spans[k]
        self._units = attribution.units
        ours: list[Source | Dropped] = [*span.sources, *span.dropped]
        named = {attribution.units.id[source.unit] for source in ours}
        self._theirs = _kept(beside) if beside else None
        self._found: list[Source | Dropped | Theirs] = [*ours]
        self._found += [theirs for id, theirs in (self._theirs or {}).items() if id not in named]
        self.units_shown = [-1 if isinstance(s, Theirs) else s.unit for s in self._found]
        kept, lost = len(span.sources), len(span.dropped)
        number = f"span {k + 1} · thinking" if span.thinking else f"span {k + 1}"
        self.border_title = f"{number} · {kept} kept, {lost} dropped · share run score"
        if self._found:
            self.fill(len(self._found))
        else:
            self.say("No step of this span cast a vote.")

    def say(self, text: str, wrong: bool = False) -> None:
        self._shown = None
        super().say(text, wrong)

    def draw_item(self, row: int, width: int) -> Iterable[Piece]:
        found, palette = self._found[row], self.palette
        if isinstance(found, Theirs):
            yield "- ", palette.dim
            yield LETTERS[found.modality], palette.ink[found.modality]
            yield f"  {found.text}".ljust(width), palette.dim
            return
        here = row == self.pointer
        style = palette.strong if isinstance(found, Source) else palette.dim
        style = palette.chosen if here else style
        modality = Modality(self._units.modality[found.unit])
        yield f"{self._sign(found)} ", style
        yield LETTERS[modality], palette.ink[modality]
        yield f"  {_numbers(found)} ", style
        if width >= _ROOMY:
            yield bar(found.mass, width // 6), palette.bar[modality]
            yield " ", style
        used = 21 + (width // 6 + 1 if width >= _ROOMY else 0)
        yield name(self._units, found.unit, width - used).ljust(width), style

    def _sign(self, found: Source | Dropped) -> str:
        """`✓` kept, `✗` dropped; where another attribution says otherwise `+` or `-`."""
        ours = isinstance(found, Source)
        theirs = ours if self._theirs is None else self._units.id[found.unit] in self._theirs
        return {(True, True): "✓", (False, False): "✗", (True, False): "+"}.get((ours, theirs), "-")


def _numbers(found: Source | Dropped) -> str:
    """Sixteen cells: share, run and score of a kept source; share and rule of a dropped one."""
    if isinstance(found, Source):
        return f"{found.mass:4.2f} {found.run:4.2f}  {found.score:4.2f}"
    return f"{found.mass:4.2f} {found.rule:<10}"


def _kept(beside: Beside) -> dict[str, Theirs]:
    """The curated sources of the other attribution, by id."""
    units, sources = beside.attribution.units, beside.attribution.spans[beside.k].sources
    kinds = [Modality(int(units.modality[source.unit])) for source in sources]
    return {
        units.id[source.unit]: Theirs(kind, name(units, source.unit, _NAME_CELLS))
        for source, kind in zip(sources, kinds, strict=True)
    }
