"""The answer by source: the use of each part of the prompt, the largest share first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Float32, Float64, Int64
from omnitrace.timeline import Modality
from replay import Attribution
from replay.words import filtered_text, where_text
from tui.draw.colours import LETTERS
from tui.draw.lines import Piece, bar, heights
from tui.readings.base import Reading
from tui.trace.names import name
from tui.trace.sources import UnitTable
from tui.trace.state import Answer

_BAR, _STRIP = 8, 24


@dataclass(frozen=True)
class Uses:
    """The uses of m units in a response of T steps.

    `share` (m,): of all votes; `steps` (m,): how many are traced to it; `spans`: those that keep
    it, counted from 1; `order` (m,): the largest share first; `course` (m, cells): its mass along
    the response, 1 the largest of all units.
    """

    share: Float64
    steps: Int64
    spans: tuple[tuple[int, ...], ...]
    order: Int64
    course: Float64


def uses_of(attribution: Attribution, cells: int = _STRIP) -> Uses:
    """The uses of each unit; `course` has at most so many `cells`."""
    count, traced = len(attribution.units), attribution.unit >= 0
    unit, vote = attribution.unit[traced], attribution.vote[traced].astype(np.float64)
    votes: Float64 = np.bincount(unit, vote, minlength=count).astype(np.float64)
    mass = attribution.mass.sum(axis=0)
    spans: list[list[int]] = [[] for _ in range(count)]
    for k, span in enumerate(attribution.spans):
        for source in span.sources:
            spans[source.unit].append(k + 1)
    total = votes.sum()
    return Uses(
        share=votes / total if total > 0 else votes,
        steps=np.bincount(unit, minlength=count),
        spans=tuple(tuple(kept) for kept in spans),
        order=np.lexsort((-mass, -votes)),
        course=_course(attribution.mass, cells),
    )


def _course(mass: Float32, cells: int) -> Float64:
    """(m, cells): mean masses of equal parts of the response, relative to the largest."""
    steps, count = mass.shape
    if not steps or not count:
        return np.zeros((count, 0))
    edges = np.unique(np.arange(min(cells, steps)) * steps // min(cells, steps))
    sizes = np.diff(edges, append=steps)
    means = np.add.reduceat(mass, edges, axis=0).T / sizes
    top = float(means.max())
    return means / top if top > 0 else means * 0.0


class BySource(Reading, UnitTable):
    """A row a unit: its share of the votes, its steps, its spans, its course along the answer."""

    NAME, KEY, LABEL = "by-source", "2", "By source"

    _attribution: Attribution | None = None

    def show_answer(self, answer: Answer) -> None:
        attribution = answer.attribution
        if attribution is self._attribution:
            return
        self._attribution, self._uses = attribution, uses_of(attribution)
        self.units_shown = self._uses.order.tolist()
        texts = where_text(attribution), filtered_text(attribution)
        shown = ["by source · share, steps, course, spans", *texts]
        self.border_title = " · ".join(text for text in shown if text)
        self.fill(len(self.units_shown), self.cursor)

    def show_message(self, text: str, wrong: bool = False) -> None:
        self._attribution = None
        super().show_message(text, wrong)

    def draw_item(self, row: int, width: int) -> Iterable[Piece]:
        if self._attribution is None:
            return
        palette, units, uses = self.palette, self._attribution.units, self._uses
        unit = self.units_shown[row]
        modality, kept = Modality(units.modality[unit]), uses.spans[unit]
        style = palette.plain if kept else palette.dim
        style = palette.chosen if row == self.pointer else style
        yield "✓ " if kept else "  ", style
        yield LETTERS[modality], palette.ink[modality]
        yield f" {uses.share[unit]:4.0%} ", style
        yield bar(float(uses.share[unit]), _BAR), palette.bar[modality]
        yield f" {uses.steps[unit]:>5,}  ", style
        yield heights(uses.course[unit].tolist()).ljust(_STRIP), palette.ink[modality]
        spans = "  " + ",".join(map(str, kept[:9])) + ("…" if len(kept) > 9 else "")
        room = width - _BAR - _STRIP - 17
        yield "  " + name(units, unit, max(8, room - len(spans))), style
        yield f"{spans if kept else ''}".ljust(width), style if row == self.pointer else palette.dim
