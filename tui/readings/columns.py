"""The sources of each span, by several methods, side by side: data, no widget.

A column holds the sources by one method: this configuration, another one, the cause by recorded
ablations, the labels. A further column is one more function from a span to its entries, in
`_columns`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from omnitrace import Trace
from omnitrace.arrays import Bool
from omnitrace.timeline import Modality
from replay import Attribution, Span
from replay.evaluation import Gold
from replay.methods.compare import Disagreement
from tui.compare import source_ids, span_at
from tui.readings.causal import CausalResult
from tui.trace.names import name

_NAME_CELLS = 60
AGREED, DIFFERS, UNKNOWN = "✓", "✗", "·"
"""The sign before a source: all other columns have it, one has not, there is no other column."""


@dataclass(frozen=True)
class Entry:
    """A source in a column; `disagreement`: where signal and cause disagree about it. Without a
    modality: why the column has no source."""

    sign: str
    modality: Modality | None
    text: str
    disagreement: Disagreement | None = None

    @property
    def differs(self) -> bool:
        return self.sign == DIFFERS or self.disagreement is not None


@dataclass(frozen=True)
class SpanRow:
    """The k-th span with its entries in each column; `differing`: how many differ."""

    k: int
    text: str
    columns: tuple[tuple[Entry, ...], ...]
    differing: int


@dataclass(frozen=True)
class SideTable:
    """All spans of a response, and the titles of the columns."""

    titles: tuple[str, ...]
    spans: tuple[SpanRow, ...]


@dataclass(frozen=True)
class Compared:
    """What is compared: the attribution shown, perhaps another one with its name, the labels, the
    cause."""

    trace: Trace
    attribution: Attribution
    other: tuple[str, Attribution] | None = None
    gold: Gold | None = None
    causal: CausalResult | None = None

    @property
    def alone(self) -> bool:
        return self.other is None and self.gold is None and self.causal is None


Column = Callable[[int, Span], tuple[Entry, ...]]


def side_table(compared: Compared) -> SideTable:
    """Every span with its entries in each column, in order."""
    named = [*_columns(compared)]
    spans = []
    for k, span in enumerate(compared.attribution.spans):
        columns = tuple(column(k, span) for _, column in named)
        differing = sum(entry.differs for entries in columns for entry in entries)
        spans.append(SpanRow(k, span.text, columns, differing))
    return SideTable(tuple(title for title, _ in named), tuple(spans))


def _columns(compared: Compared) -> Iterator[tuple[str, Column]]:
    """Each column with its title; a trace has not all of them."""
    labels = _Labelled(compared, compared.gold) if compared.gold else None
    yield "because of", lambda k, span: _own(compared, labels, k, span)
    if compared.other is not None:
        title, other = compared.other
        yield f"because of, by {title}", lambda k, span: _others(compared, other, k, span)
    if (causal := compared.causal) is not None:
        yield f"really because of ({causal.method})", lambda k, _: _causal(compared, causal, k)
    if labels is not None:
        yield "truly because of", lambda k, span: labels.entries(span)


def _own(compared: Compared, labels: _Labelled | None, k: int, span: Span) -> tuple[Entry, ...]:
    """The sources of this configuration: right by the labels, or else in all other columns."""
    id, theirs = compared.attribution.units.id, _kept_by_other(compared, span)
    causal = compared.causal if compared.causal and not compared.causal.error else None
    alone = causal.disagreements(k, "a") if causal else {}
    entries = []
    for source in span.sources:
        shared = [] if theirs is None else [id[source.unit] in theirs]
        shared += [source.unit not in alone] if causal else []
        sign = _sign(all(shared)) if shared else UNKNOWN
        sign = labels.sign(span, source.unit) if labels is not None else sign
        entries.append(_entry(compared.attribution, source.unit, sign, alone.get(source.unit)))
    return tuple(entries)


def _causal(compared: Compared, causal: CausalResult, k: int) -> tuple[Entry, ...]:
    """The units that the span depends on: also sources of this configuration, or not."""
    if causal.error:
        return (Entry(UNKNOWN, None, "cannot be said"),)
    alone = causal.disagreements(k, "b")
    return (
        *(_entry(compared.attribution, unit, AGREED) for unit in causal.spans[k].both),
        *(_entry(compared.attribution, unit, DIFFERS, alone[unit]) for unit in alone),
    )


def _entry(
    attribution: Attribution, unit: int, sign: str, disagreement: Disagreement | None = None
) -> Entry:
    units = attribution.units
    modality = Modality(int(units.modality[unit]))
    return Entry(sign, modality, name(units, unit, _NAME_CELLS), disagreement)


def _others(compared: Compared, other: Attribution, k: int, span: Span) -> tuple[Entry, ...]:
    at, own = span_at(other, span.steps[0]), source_ids(compared.attribution, k)
    return tuple(
        _entry(other, source.unit, _sign(other.units.id[source.unit] in own))
        for source in (other.spans[at].sources if at is not None else ())
    )


def _kept_by_other(compared: Compared, span: Span) -> frozenset[str] | None:
    if compared.other is None:
        return None
    at = span_at(compared.other[1], span.steps[0])
    return frozenset() if at is None else source_ids(compared.other[1], at)


def _sign(agreed: bool) -> str:
    return AGREED if agreed else DIFFERS


class _Labelled:
    """The labels of a response, span by span."""

    def __init__(self, compared: Compared, gold: Gold) -> None:
        self.gold, self.trace = gold, compared.trace
        self.claims = gold.space.claims(compared.attribution.units)

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
            for labels, text in self._ranges(true, found)
        )

    def _true(self, span: Span) -> Bool | None:
        """(L,): the true labels of the sentences that share steps with a span."""
        gold, (first, last) = self.gold, span.steps
        shared = (gold.steps[:, 0] < last) & (first < gold.steps[:, 1]) & gold.judged
        true: Bool = np.any(gold.true[shared], axis=0)
        return true if shared.any() else None

    def _kind(self, labels: Sequence[int]) -> int:
        return int(self.gold.space.kind[labels[0]])

    def _ranges(self, true: Bool, found: Bool) -> Iterator[tuple[list[int], str]]:
        """The true labels with their names; neighbouring bins with the same result are joined."""
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
