"""What an answer is said to be caused by, beside what others say: data, no widget.

A column is one voice: this configuration, another one, the labels. A further voice is one more
function from a span to its entries, in `voices`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnitrace import Trace
from omnitrace.timeline import Modality
from replay import Attribution, Span
from replay.evaluation import Gold
from tui.compare import kept, span_at
from tui.trace.names import name

Bool = npt.NDArray[np.bool_]

_NAME_CELLS = 60
AGREED, ALONE, UNKNOWN = "✓", "✗", "·"
"""What stands before a source: others say so too, others say otherwise, nobody else speaks."""


@dataclass(frozen=True)
class Entry:
    """One source that a voice names for a span, and whether others agree."""

    sign: str
    modality: Modality
    text: str


@dataclass(frozen=True)
class Compared:
    """The k-th span: what each voice says; `apart`: how many entries others do not share."""

    k: int
    text: str
    voices: tuple[tuple[Entry, ...], ...]
    apart: int


@dataclass(frozen=True)
class Sides:
    """All spans of a response, each voice under its title."""

    titles: tuple[str, ...]
    spans: tuple[Compared, ...]


@dataclass(frozen=True)
class Beside:
    """Who speaks: the attribution shown, perhaps another, perhaps the labels."""

    trace: Trace
    attribution: Attribution
    other: tuple[str, Attribution] | None = None
    gold: Gold | None = None


Voice = Callable[[int, Span], tuple[Entry, ...]]


def sides_of(beside: Beside) -> Sides:
    """Every span with what each voice says of it, in order."""
    named = [*voices(beside)]
    spans = []
    for k, span in enumerate(beside.attribution.spans):
        said = tuple(voice(k, span) for _, voice in named)
        apart = sum(entry.sign == ALONE for entries in said for entry in entries)
        spans.append(Compared(k, span.text, said, apart))
    return Sides(tuple(title for title, _ in named), tuple(spans))


def voices(beside: Beside) -> Iterator[tuple[str, Voice]]:
    """Each voice with its title; those that have nothing to say of this trace are not there."""
    truth = _Truth(beside.attribution, beside.gold, beside.trace) if beside.gold else None
    yield "because of", lambda k, span: _found(beside, truth, k, span)
    if beside.other is not None:
        title, other = beside.other
        yield f"because of, by {title}", lambda k, span: _others(beside, other, k, span)
    if truth is not None:
        yield "truly because of", lambda k, span: truth.entries(span)


def _found(beside: Beside, truth: _Truth | None, k: int, span: Span) -> tuple[Entry, ...]:
    """Our own sources: right by the labels, or kept by the other configuration too."""
    units = beside.attribution.units
    theirs = _kept_by_other(beside, span)
    entries = []
    for source in span.sources:
        if truth is not None:
            sign = truth.sign(span, source.unit)
        else:
            sign = UNKNOWN if theirs is None else _sign(units.id[source.unit] in theirs)
        modality = Modality(int(units.modality[source.unit]))
        entries.append(Entry(sign, modality, name(units, source.unit, _NAME_CELLS)))
    return tuple(entries)


def _others(beside: Beside, other: Attribution, k: int, span: Span) -> tuple[Entry, ...]:
    at, units = span_at(other, span.steps[0]), other.units
    ours = kept(beside.attribution, k)
    return tuple(
        Entry(
            _sign(units.id[source.unit] in ours),
            Modality(int(units.modality[source.unit])),
            name(units, source.unit, _NAME_CELLS),
        )
        for source in (other.spans[at].sources if at is not None else ())
    )


def _kept_by_other(beside: Beside, span: Span) -> frozenset[str] | None:
    if beside.other is None:
        return None
    at = span_at(beside.other[1], span.steps[0])
    return frozenset() if at is None else kept(beside.other[1], at)


def _sign(agreed: bool) -> str:
    return AGREED if agreed else ALONE


class _Truth:
    """The labels of a response, asked span by span."""

    def __init__(self, attribution: Attribution, gold: Gold, trace: Trace) -> None:
        self.gold, self.trace = gold, trace
        self.claims = gold.space.claims(attribution.units)

    def sign(self, span: Span, unit: int) -> str:
        """Whether a source is one of the true ones; unknown where the span was not judged."""
        true = self._true(span)
        return UNKNOWN if true is None else _sign(bool((self.claims[unit] & true).any()))

    def entries(self, span: Span) -> tuple[Entry, ...]:
        """The true sources: found, or missed."""
        true = self._true(span)
        if true is None:
            return ()
        found: Bool = np.any(self.claims[[source.unit for source in span.sources]], axis=0)
        return tuple(
            Entry(_sign(bool(found[labels].all())), Modality(int(self._kind(labels))), text)
            for labels, text in self._stretches(true, found)
        )

    def _true(self, span: Span) -> Bool | None:
        """(L,): the true labels of the sentences that share steps with a span."""
        gold, (first, last) = self.gold, span.steps
        shared = (gold.steps[:, 0] < last) & (first < gold.steps[:, 1]) & gold.judged
        true: Bool = np.any(gold.true[shared], axis=0)
        return true if shared.any() else None

    def _kind(self, labels: Sequence[int]) -> int:
        return int(self.gold.space.kind[labels[0]])

    def _stretches(self, true: Bool, found: Bool) -> Iterator[tuple[list[int], str]]:
        """The true labels with their names, neighbouring bins that fared alike together."""
        space = self.gold.space
        alike = [(int(space.medium[at]), bool(found[at])) for at in range(len(space))]
        run: list[int] = []
        for at in np.flatnonzero(true).tolist():
            timed = not np.isnan(space.start_s[at])
            if run and timed and at == run[-1] + 1 and alike[at] == alike[run[-1]]:
                run.append(at)
                continue
            if run:
                yield run, self._name(run)
            run = [at]
        if run:
            yield run, self._name(run)

    def _name(self, labels: list[int]) -> str:
        space, kind = self.gold.space, Modality(self._kind(labels))
        if kind == Modality.TEXT:
            return f"text {labels[0] + 1} “{self._words(labels[0])}”"
        medium = int(space.medium[labels[0]])
        number = sum(m.kind == kind.label for m in self.trace.media[: medium + 1])
        start, end = float(space.start_s[labels[0]]), float(space.end_s[labels[-1]])
        return f"{kind.label} {number}" + ("" if np.isnan(start) else f" {start:g}–{end:g} s")

    def _words(self, label: int) -> str:
        chars = self.trace.timeline.chars[self.gold.space.of_token == label]
        return self.trace.prompt_text[int(chars[:, 0].min()) : int(chars[:, 1].max())].strip()
