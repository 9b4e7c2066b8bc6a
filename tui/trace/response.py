"""From an attribution to a styled response: the unit, confidence and group of each token.

Pure functions over numpy arrays. Knows no widget.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from omnitrace import Trace
from omnitrace.arrays import Bool, Float32, Int32
from omnitrace.timeline import Modality
from omnitrace.units import Units
from replay import Attribution
from tui.compare import disputed, spans_of_steps
from tui.draw.colours import levels
from tui.draw.layout import Shown, show_steps
from tui.trace.names import name

_CAPTION_CELLS = 40
_KINDS = tuple(Modality)  # by number: an enum's own look-up is slow


@dataclass(frozen=True)
class StyledResponse:
    """A response of T steps with the style of each.

    - `group` (T,) int32, ascending: steps of one group are read together (a token, word or span);
    - `unit` (T,) int32: the unit that the step's group is traced to, -1 for none; `modality`: its
      `Modality`, SPECIAL for none; `level` (T,) int32: its strength;
    - `spans`: half-open ranges of steps, in order; `span` (T,) int32: the span of each step, or -1;
      `sources`: modality and unit of each span's curated sources, strongest first; `thinking`:
      the numbers of the spans that are thinking;
    - `disputed` (T,) bool: another configuration keeps other sources for the step's span.
    """

    shown: Shown
    first: Int32
    group: Int32
    unit: Int32
    modality: tuple[Modality, ...]
    level: Int32
    spans: tuple[tuple[int, int], ...]
    sources: tuple[tuple[tuple[Modality, int], ...], ...]
    span: Int32
    disputed: Bool
    units: Units | None = None
    thinking: frozenset[int] = frozenset()

    def name(self, unit: int) -> str:
        """The short name of a unit."""
        assert self.units is not None
        return name(self.units, unit, _CAPTION_CELLS)

    def changed(self, before: StyledResponse) -> Bool | None:
        """(T,) bool: the steps that look different from `before`; None where all may."""
        same = self.shown is before.shown and self.units is before.units
        if not same or self.spans != before.spans or self.modality != before.modality:
            return None
        steps: Bool = (self.unit != before.unit) | (self.level != before.level)
        steps |= (self.group != before.group) | (self.disputed != before.disputed)
        for span, one, other in zip(self.spans, self.sources, before.sources, strict=True):
            if one != other:
                steps[slice(*span)] = True
        return steps

    @cached_property
    def outside(self) -> Bool:
        """(T,) bool: the steps of the part of the response that is not attributed."""
        none: Bool = np.zeros(len(self), np.bool_)
        return self.span < 0 if self.units is not None else none

    def __len__(self) -> int:
        return len(self.level)

    def group_of(self, step: int) -> tuple[int, int]:
        """The steps that are read together with one: half-open."""
        first = np.searchsorted(self.group, self.group[step], "left")
        return int(first), int(np.searchsorted(self.group, self.group[step], "right"))

    def next_span(self, step: int, by: int) -> int:
        """The number of the span after (`by` 1) or before (-1) the one of a step. The step may lie
        in no span, and the response may have no span of that number."""
        k = int(self.span[step])
        later = sum(start <= step for start, _ in self.spans)
        return k + by if k >= 0 else later - (by < 0)

    def neighbours(self, steps: tuple[int, int]) -> list[tuple[int, int]]:
        """The groups after and before one, where there are any."""
        return [self.group_of(step) for step in (steps[1], steps[0] - 1) if 0 <= step < len(self)]


@dataclass(frozen=True)
class ResponseLayout:
    """The parts of a response that no configuration changes: its characters and words."""

    shown: Shown
    first: Int32
    word: Int32

    @classmethod
    def of(cls, trace: Trace) -> ResponseLayout:
        """The response of a trace, laid out once."""
        shown = show_steps(trace.response, trace.chars)
        return cls(shown, shown.first(trace.T), words(trace.response, trace.chars))


@dataclass(frozen=True)
class StyleOptions:
    """How to style a response: groups by `grain`, `strength` of colours, compared to `other`."""

    grain: str = "token"
    strength: float = 1.0
    other: Attribution | None = None


def style_response(
    layout: ResponseLayout, attribution: Attribution, options: StyleOptions
) -> StyledResponse:
    """The response as an attribution styles its steps."""
    span_of = spans_of_steps(attribution)
    groups = {"word": layout.word, "span": runs(span_of)}
    group = groups.get(options.grain, np.arange(len(span_of), dtype="i4"))
    unit, confidence = traced(attribution, group)
    kinds = [*(_KINDS[m] for m in attribution.units.modality.tolist()), Modality.SPECIAL]
    differing = np.zeros(len(span_of), np.bool_)
    if options.other is not None:
        differing = disputed(attribution, options.other)
    return StyledResponse(
        shown=layout.shown,
        first=layout.first,
        group=group,
        unit=unit,
        modality=tuple(kinds[u] for u in unit.tolist()),
        level=levels(confidence, options.strength),
        spans=tuple(span.steps for span in attribution.spans),
        sources=tuple(
            tuple((kinds[source.unit], source.unit) for source in span.sources)
            for span in attribution.spans
        ),
        span=span_of,
        disputed=differing,
        units=attribution.units,
        thinking=frozenset(k for k, span in enumerate(attribution.spans) if span.thinking),
    )


def runs(span: Int32) -> Int32:
    """(T,) int32, ascending from 0: which run of equal neighbours each of `span` (T,) lies in."""
    return np.cumsum(np.diff(span, prepend=span[:1]) != 0).astype(np.int32)


def traced(attribution: Attribution, group: Int32) -> tuple[Int32, Float32]:
    """The unit (T,) and the confidence (T,) of each step's group: the unit with the most of the
    group's summed mass, and that mass a step."""
    if not len(group) or group[-1] == len(group) - 1 or not len(attribution.units):
        return attribution.unit, attribution.confidence
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    sizes = np.diff(starts, append=len(group))
    total = np.add.reduceat(attribution.mass, starts, axis=0)
    best = total.argmax(axis=1)
    mean = total[np.arange(len(best)), best] / sizes
    return np.repeat(best, sizes).astype(np.int32), np.repeat(mean, sizes).astype(np.float32)


def unstyled(layout: ResponseLayout) -> StyledResponse:
    """The response before it is attributed."""
    steps = len(layout.word)
    none = np.full(steps, -1, np.int32)
    return StyledResponse(
        shown=layout.shown,
        first=layout.first,
        group=np.arange(steps, dtype=np.int32),
        unit=none,
        modality=(Modality.SPECIAL,) * steps,
        level=np.zeros(steps, np.int32),
        spans=(),
        sources=(),
        span=none,
        disputed=np.zeros(steps, np.bool_),
    )


_EMPTY = np.zeros(0, np.int32)
NO_RESPONSE = unstyled(ResponseLayout(Shown("", _EMPTY, ()), _EMPTY, _EMPTY))


def words(response: str, chars: Int32) -> Int32:
    """(T,) int32: the word that each step writes; a step that begins with white space, or comes
    after some, begins a new one."""
    texts = [response[start:end] for start, end in chars.tolist()]
    begins = np.array([text[:1].isspace() for text in texts], np.bool_)
    ends = np.array([text[-1:].isspace() for text in texts], np.bool_)
    begins[1:] |= ends[:-1] | (chars[1:, 0] > chars[:-1, 1])
    begins[:1] = False
    return np.cumsum(begins).astype(np.int32)
