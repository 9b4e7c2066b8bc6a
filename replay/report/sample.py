"""One sample as the page shows it: prompt with units, answer with spans, sources, heat maps, truth.

Traces and attributions in, plain frozen data for the template out. Escapes nothing: the template
does. Knows no HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, pairwise

import numpy as np

from omnitrace.arrays import Float64, Int32
from omnitrace.errors import CommandError
from omnitrace.text import one_line
from omnitrace.timeline import Medium, Modality
from omnitrace.trace import Trace
from replay.analyses.figure import HUES
from replay.attribution import Attribution, Span
from replay.evaluation import Gold
from replay.faithfulness.verdict import verdict_words
from replay.report.heat_map import (
    MassOverTime,
    grid_shape,
    heat_map_png,
    mass_over_time,
    patch_heat_map,
    token_means,
)
from replay.report.marks import Marks, marks_of
from replay.report.media import MediaEmbedder
from replay.rows import rows_of
from replay.words import filtered_text, reliability_text, where_text

ALL = "all"
"""The layer that is shown while no span is chosen."""
COLOUR = HUES["image"]
"""Of heat maps."""
MOST_DROPPED = 8
MOST_FILTERED = 12


@dataclass(frozen=True)
class UnitView:
    """A source unit: its number in the sample, what it is called, and where it lies in time."""

    number: int
    modality: str
    label: str
    text: str | None
    share: float
    start_s: float
    end_s: float
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Layer:
    """What is drawn over a medium while `span` is chosen: a heat map, or bars over time."""

    span: str
    heat_map: str = ""
    bars: tuple[float, ...] = ()


@dataclass(frozen=True)
class PartView:
    """A content part: text in pieces, each with its unit's number or None; or one medium."""

    kind: str
    role: str
    pieces: tuple[tuple[str, UnitView | None], ...] = ()
    name: str = ""
    label: str = ""
    facts: str = ""
    units: tuple[UnitView, ...] = ()
    layers: tuple[Layer, ...] = ()
    thumbnail: str | None = None
    player: str | None = None
    ratio: float = 1.0
    duration_s: float = 0.0
    bin_s: float = 1.0


@dataclass(frozen=True)
class SourceView:
    """A source of a span; `right`: None if unknown; `rule`: what dropped it, or empty; `verdict`:
    what its removal did, in words, empty where it was not tested."""

    unit: UnitView
    share: float
    right: bool | None
    rule: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class SpanView:
    """A span of the response; `modality` is its first source's, empty without one; `thinking`:
    whether it is thinking; `notes`: how reliable its sources are, and where its scores lie."""

    number: int
    text: str
    modality: str
    sources: tuple[SourceView, ...]
    dropped: tuple[SourceView, ...]
    more_dropped: int
    known: bool | None
    missed: tuple[tuple[str, str], ...]
    thinking: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SampleView:
    """A sample; `links`: by span the [unit, share] of its sources, for the page's script."""

    number: int
    id: str
    facts: tuple[str, ...]
    messages: tuple[tuple[str, tuple[PartView, ...]], ...]
    pieces: tuple[tuple[str, SpanView | None], ...]
    spans: tuple[SpanView, ...]
    links: tuple[tuple[tuple[int, float], ...], ...]


def sample_view(
    number: int, trace: Trace, attribution: Attribution, gold: Gold | None, media: MediaEmbedder
) -> SampleView:
    """All that the page says of one sample."""
    units = _units(attribution)
    page = _Page(trace, attribution, units, _layer_means(trace, attribution), media)
    marks = marks_of(trace, attribution, gold) if gold else [None] * len(attribution.spans)
    spans = tuple(
        replace(_span(k, span, units, mark), notes=_notes(attribution, span))
        for k, (span, mark) in enumerate(zip(attribution.spans, marks, strict=True))
    )
    return SampleView(
        number=number,
        id=trace.id,
        facts=(
            *(f"{trace.n:,} prompt tokens", f"{trace.T:,} steps", f"{len(units)} units"),
            *filter(None, [_scores(attribution), _filtered(trace, attribution)]),
        ),
        messages=tuple(
            (role, tuple(parts)) for role, parts in groupby(_parts(page), key=lambda one: one.role)
        ),
        pieces=tuple(_answer(attribution, spans)),
        spans=spans,
        links=tuple(
            tuple((source.unit, round(source.mass, 4)) for source in span.sources)
            for span in attribution.spans
        ),
    )


def _scores(attribution: Attribution, steps: tuple[int, int] | None = None) -> str:
    where = where_text(attribution, steps)
    return f"scores: {where}" if where else ""


def _filtered(trace: Trace, attribution: Attribution) -> str:
    """The tokens that a filter dropped, the commonest first."""
    tokens = np.flatnonzero(attribution.dropped)
    if not len(tokens):
        return ""
    chars = trace.timeline.chars[tokens].tolist()
    words = Counter(trace.prompt_text[start:end].strip() or "␣" for start, end in chars)
    named = ", ".join(
        f"“{one_line(word, 20)}”" + (f" × {count}" if count > 1 else "")
        for word, count in words.most_common(MOST_FILTERED)
    )
    more = ", …" if len(words) > MOST_FILTERED else ""
    return f"{filtered_text(attribution)}: {named}{more}"


def _notes(attribution: Attribution, span: Span) -> tuple[str, ...]:
    """How reliable the sources of a span are, and where its scores lie."""
    return tuple(filter(None, [reliability_text(span), _scores(attribution, span.steps)]))


def _units(attribution: Attribution) -> list[UnitView]:
    """Every unit, with the mean over spans of its share of their votes."""
    units = attribution.units
    share = np.zeros(len(units))
    for span in attribution.spans:
        for source in span.sources:
            share[source.unit] += source.mass / len(attribution.spans)
    return [
        UnitView(
            number=j,
            modality=Modality(int(units.modality[j])).label,
            label=units.label[j],
            text=units.text[j],
            share=float(share[j]),
            start_s=float(units.start_s[j]),
            end_s=float(units.end_s[j]),
            box=None if np.isnan(units.box[j]).any() else tuple(units.box[j].tolist()),
        )
        for j in range(len(units))
    ]


def _span(number: int, span: Span, units: list[UnitView], marks: Marks | None) -> SpanView:
    right = marks.right if marks else {}
    dropped = sorted(span.dropped, key=lambda one: -one.mass)
    return SpanView(
        number=number,
        text=span.text,
        modality=units[span.sources[0].unit].modality if span.sources else "",
        sources=tuple(
            SourceView(units[s.unit], s.mass, right.get(s.unit), verdict=verdict_words(verdict))
            for s, verdict in zip(span.sources, span.judged, strict=True)
        ),
        dropped=tuple(
            SourceView(units[d.unit], d.mass, right.get(d.unit), d.rule)
            for d in dropped[:MOST_DROPPED]
        ),
        more_dropped=max(0, len(dropped) - MOST_DROPPED),
        known=marks.known if marks else None,
        missed=marks.missed if marks else (),
        thinking=span.thinking,
    )


def _answer(
    attribution: Attribution, spans: tuple[SpanView, ...]
) -> Iterator[tuple[str, SpanView | None]]:
    """The response in pieces: spans, and what lies between them."""
    at = 0
    for span, view in zip(attribution.spans, spans, strict=True):
        if span.start > at:
            yield attribution.response[at : span.start], None
        yield span.text, view
        at = max(at, span.end)
    if at < len(attribution.response):
        yield attribution.response[at:], None


@dataclass(frozen=True)
class _Page:
    """What the parts of one sample are made from; `means`: see `_layer_means`."""

    trace: Trace
    attribution: Attribution
    units: list[UnitView]
    means: dict[str, Float64]
    media: MediaEmbedder

    def units_of(self, medium: int) -> tuple[UnitView, ...]:
        own = np.flatnonzero(self.attribution.units.medium == medium)
        return tuple(self.units[j] for j in own.tolist())

    @cached_property
    def largest_patch(self) -> float:
        """The largest score of a patch of any image in any layer: all heat maps have one scale."""
        media = [m for m, known in enumerate(self.trace.media) if known.kind == "image"]
        maps = [patch_heat_map(self.trace, m, one) for m in media for one in self.means.values()]
        return max((float(one.max()) for one in maps), default=0.0)

    @cached_property
    def largest_bin(self) -> float:
        """The largest score of a bin of time of any audio or video in any layer, above 0."""
        media = [m for m, known in enumerate(self.trace.media) if known.kind != "image"]
        bins = [self.bins(m, one) for m in media for one in self.means.values()]
        return max([1e-12, *(float(one.mass.max()) for one in bins)])

    def label(self, medium: int) -> str:
        """What units call the medium: `image 2`."""
        kinds = [known.kind for known in self.trace.media[: medium + 1]]
        return f"{kinds[-1]} {kinds.count(kinds[-1])}"

    def bins(self, medium: int, means: Float64) -> MassOverTime:
        return mass_over_time(self.trace, medium, self.duration(medium), means)

    def duration(self, medium: int) -> float:
        """Seconds, as recorded, else until the last token ends."""
        ends = self.trace.timeline.end_s[self.trace.timeline.medium == medium]
        known = self.trace.media[medium].duration_s
        return max(known or float(np.nanmax(ends, initial=0.0)), 1e-3)


def _parts(page: _Page) -> Iterator[PartView]:
    owner = _owners(page)
    for index, part in enumerate(page.trace.parts):
        if part.medium < 0:
            yield PartView("text", part.role, _pieces(page, owner, index))
        elif part.kind == "image":
            yield _image(page, part.medium, part.role)
        else:
            yield _timed(page, part.medium, part.role)


def _layer_means(trace: Trace, attribution: Attribution) -> dict[str, Float64]:
    """By layer, the mean score of each prompt token: over all steps, and over those of each span.

    Empty where rows were not recorded one by one (level heads).
    """
    try:
        scores = rows_of(trace, attribution.config).dense().astype(np.float64)
    except CommandError:
        return {}
    steps = {ALL: (0, trace.T)} | {str(k): s.steps for k, s in enumerate(attribution.spans)}
    return {name: token_means(scores, one, trace.n) for name, one in steps.items()}


def _owners(page: _Page) -> Int32:
    """(characters,) int32: the text unit of each character of the prompt, -1 for none."""
    owner = np.full(len(page.trace.prompt_text), -1, np.int32)
    units, chars = page.attribution.units, page.trace.timeline.chars
    for unit, (start, end) in zip(units.owner.tolist(), units.ranges.tolist(), strict=True):
        if units.medium[unit] < 0:
            owner[chars[start, 0] : chars[end - 1, 1]] = unit
    return owner


def _pieces(page: _Page, owner: Int32, part: int) -> tuple[tuple[str, UnitView | None], ...]:
    """The text of a part, cut where its units begin and end."""
    line, text = page.trace.timeline, page.trace.prompt_text
    own = (line.part == part) & (line.modality == Modality.TEXT)
    if not own.any():
        return ()
    low, high = int(line.chars[own, 0].min()), int(line.chars[own, 1].max())
    while low < high and text[low] == "\n":
        low += 1
    edges = [low, *(np.flatnonzero(np.diff(owner[low:high])) + low + 1).tolist(), high]
    return tuple(
        (text[start:end], page.units[owner[start]] if owner[start] >= 0 else None)
        for start, end in pairwise(edges)
    )


def _image(page: _Page, medium: int, role: str) -> PartView:
    known, shape = page.trace.media[medium], grid_shape(page.trace, medium)
    size = f"{known.width} × {known.height}" if known.width and known.height else ""
    patches = f"{shape[0]} × {shape[1]} patches" if shape else ""
    return PartView(
        kind="image",
        role=role,
        name=known.name,
        label=page.label(medium),
        facts=", ".join(filter(None, [size, patches])),
        units=page.units_of(medium),
        layers=_heat_map_layers(page, medium) if shape else (),
        thumbnail=page.media.thumbnail(known),
        ratio=_ratio(known, shape),
    )


def _ratio(known: Medium, shape: tuple[int, int] | None) -> float:
    """Width over height of an image, within what a page can show."""
    rows, columns = (known.height, known.width) if known.height else shape or (1, 1)
    return float(np.clip((columns or 1) / (rows or 1), 0.2, 5))


def _heat_map_layers(page: _Page, medium: int) -> tuple[Layer, ...]:
    """A heat map for the whole answer and each span."""
    top = page.largest_patch
    maps = {name: patch_heat_map(page.trace, medium, means) for name, means in page.means.items()}
    return tuple(Layer(name, heat_map_png(one, top, COLOUR)) for name, one in maps.items())


def _timed(page: _Page, medium: int, role: str) -> PartView:
    known, duration = page.trace.media[medium], page.duration(medium)
    bins = {name: page.bins(medium, means) for name, means in page.means.items()}
    return PartView(
        kind=known.kind,
        role=role,
        name=known.name,
        label=page.label(medium),
        facts=f"{duration:g} s",
        units=page.units_of(medium),
        layers=tuple(
            Layer(name, bars=tuple(np.round(one.mass / page.largest_bin, 3).tolist()))
            for name, one in bins.items()
        ),
        player=page.media.playable(known),
        duration_s=duration,
        bin_s=next(iter(bins.values())).seconds if bins else 1.0,
    )
