"""What an answer is said to be caused by, beside what others say: data, no widget.

A column is one voice: this configuration, another one, the cause by recorded ablations, the
labels. A further voice is one more function from a span to its entries, in `voices`.
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
from replay.methods.compare import Parting
from tui.compare import kept, span_at
from tui.readings.cause import Cause
from tui.trace.names import name

Bool = npt.NDArray[np.bool_]

_NAME_CELLS = 60
AGREED, ALONE, UNKNOWN = "✓", "✗", "·"
"""What stands before a source: others say so too, others say otherwise, nobody else speaks."""


@dataclass(frozen=True)
class Entry:
    """One source that a voice names for a span, and whether others agree; `parting`: where signal
    and cause do not. Without a modality: why the voice cannot name any."""

    sign: str
    modality: Modality | None
    text: str
    parting: Parting | None = None

    @property
    def apart(self) -> bool:
        return self.sign == ALONE or self.parting is not None


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
    """Who speaks: the attribution shown, perhaps another, the cause, the labels."""

    trace: Trace
    attribution: Attribution
    other: tuple[str, Attribution] | None = None
    gold: Gold | None = None
    cause: Cause | None = None


Voice = Callable[[int, Span], tuple[Entry, ...]]


def sides_of(beside: Beside) -> Sides:
    """Every span with what each voice says of it, in order."""
    named = [*voices(beside)]
    spans = []
    for k, span in enumerate(beside.attribution.spans):
        said = tuple(voice(k, span) for _, voice in named)
        apart = sum(entry.apart for entries in said for entry in entries)
        spans.append(Compared(k, span.text, said, apart))
    return Sides(tuple(title for title, _ in named), tuple(spans))


def voices(beside: Beside) -> Iterator[tuple[str, Voice]]:
    """Each voice with its title; those that have nothing to say of this trace are not there."""
    truth = _Truth(beside.attribution, beside.gold, beside.trace) if beside.gold else None
    yield "because of", lambda k, span: _found(beside, truth, k, span)
    if beside.other is not None:
        title, other = beside.other
        yield f"because of, by {title}", lambda k, span: _others(beside, other, k, span)
    if (cause := beside.cause) is not None:
        yield f"really because of ({cause.method})", lambda k, _: _caused(beside, cause, k)
    if truth is not None:
        yield "truly because of", lambda k, span: truth.entries(span)


def _found(beside: Beside, truth: _Truth | None, k: int, span: Span) -> tuple[Entry, ...]:
    """Our own sources: right by the labels, or else named by all others too."""
    id, theirs = beside.attribution.units.id, _kept_by_other(beside, span)
    cause = beside.cause if beside.cause and not beside.cause.amiss else None
    apart = cause.partings(k, "a") if cause else {}
    entries = []
    for source in span.sources:
        said = [] if theirs is None else [id[source.unit] in theirs]
        said += [source.unit not in apart] if cause else []
        sign = _sign(all(said)) if said else UNKNOWN
        sign = truth.sign(span, source.unit) if truth is not None else sign
        entries.append(_entry(beside.attribution, source.unit, sign, apart.get(source.unit)))
    return tuple(entries)


def _caused(beside: Beside, cause: Cause, k: int) -> tuple[Entry, ...]:
    """What the answer depends on: ours too, or not."""
    if cause.amiss:
        return (Entry(UNKNOWN, None, "cannot be said"),)
    apart = cause.partings(k, "b")
    return (
        *(_entry(beside.attribution, unit, AGREED) for unit in cause.spans[k].both),
        *(_entry(beside.attribution, unit, ALONE, apart[unit]) for unit in apart),
    )


def _entry(attribution: Attribution, unit: int, sign: str, parting: Parting | None = None) -> Entry:
    units = attribution.units
    modality = Modality(int(units.modality[unit]))
    return Entry(sign, modality, name(units, unit, _NAME_CELLS), parting)


def _others(beside: Beside, other: Attribution, k: int, span: Span) -> tuple[Entry, ...]:
    at, ours = span_at(other, span.steps[0]), kept(beside.attribution, k)
    return tuple(
        _entry(other, source.unit, _sign(other.units.id[source.unit] in ours))
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
