"""Right, wrong and missed sources, span by span, and labels in words. Knows no page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Bool
from omnitrace.text import one_line
from omnitrace.timeline import Modality
from omnitrace.trace import Trace
from replay.analyses.judged import truth_of_spans
from replay.attribution import Attribution
from replay.evaluation import Gold, Space

QUOTE = 90


@dataclass(frozen=True)
class Marks:
    """The marks of one span.

    - `known`: whether all sentences of the span were judged; if not, the rest is empty;
    - `right`: candidate unit → whether it holds a true label; units that cannot be judged lack;
    - `missed`: (modality, words) of the true labels that no kept source holds.
    """

    known: bool
    right: Mapping[int, bool]
    missed: tuple[tuple[str, str], ...]


def marks_of(trace: Trace, attribution: Attribution, gold: Gold) -> list[Marks]:
    """The marks of every span, in order."""
    claims = gold.space.claims(attribution.units) & gold.scored[gold.space.kind]
    true, known = truth_of_spans(attribution, gold)
    return [
        _marks(trace, attribution, s, (gold.space, claims, true[s] & gold.scored[gold.space.kind]))
        if known[s]
        else Marks(False, {}, ())
        for s in range(len(attribution.spans))
    ]


def _marks(
    trace: Trace, attribution: Attribution, s: int, judged: tuple[Space, Bool, Bool]
) -> Marks:
    space, claims, true = judged
    span = attribution.spans[s]
    candidates = {s.unit for s in span.sources} | {d.unit for d in span.dropped}
    right = {j: bool((claims[j] & true).any()) for j in candidates if claims[j].any()}
    held = np.zeros(len(space), np.bool_)
    for source in span.sources:
        held |= claims[source.unit]
    return Marks(True, right, label_words(trace, space, true & ~held))


def label_words(trace: Trace, space: Space, chosen: Bool) -> tuple[tuple[str, str], ...]:
    """(modality, words) of the chosen labels, neighbouring seconds together."""
    words: list[tuple[str, str]] = []
    rows = np.flatnonzero(chosen).tolist()
    while rows:
        last = 1
        while last < len(rows) and _joins(space, rows[last - 1], rows[last]):
            last += 1
        words.append(_words(trace, space, rows[0], rows[last - 1]))
        rows = rows[last:]
    return tuple(words)


def _joins(space: Space, one: int, other: int) -> bool:
    """Two bins of one medium, one after the other."""
    timed = not np.isnan(space.start_s[one])
    return timed and other == one + 1 and bool(space.medium[one] == space.medium[other])


def _words(trace: Trace, space: Space, first: int, last: int) -> tuple[str, str]:
    kind, medium = Modality(int(space.kind[first])), int(space.medium[first])
    if kind == Modality.TEXT:
        return kind.label, f"“{one_line(sentence_of_label(trace, space, first), QUOTE)}”"
    ordinal = [one.kind for one in trace.media[: medium + 1]].count(kind.label)
    name = f"{kind.label} {ordinal}"
    if np.isnan(space.start_s[first]):
        return kind.label, name
    return kind.label, f"{name} {space.start_s[first]:g}–{space.end_s[last]:g} s"


def sentence_of_label(trace: Trace, space: Space, label: int) -> str:
    """The words of a text label."""
    own = trace.timeline.chars[space.of_token == label]
    return trace.prompt_text[int(own[:, 0].min()) : int(own[:, 1].max())].strip()
