"""Evaluation: attributions against the truth, as the paper measures them (§4.1).

Text and images: P, R and F1 over each span's source units. Audio and video: the same over 1-second
bins. Knows truths and attributions; not how either was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from omnitrace.timeline import Modality
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.attribution import Attribution, Span
from replay.truth import Evidence, TrueSentence, Truth, part_of, read_truths, true_units

__all__ = ["Score", "Scores", "evaluate", "read_truths", "true_units"]

MODALITIES = ("text", "image", "audio", "video")
Label = tuple[str, int, int]
"""(modality, medium, second) of a bin, or (modality, -1, unit) of a text or image unit."""
_FUZZ = 1e-6


@dataclass(frozen=True)
class Score:
    """Precision, recall and F1, from 0 to 1, over `spans` spans.

    Micro: of the pooled counts; 1 if there was nothing to find and nothing was found. Macro: the
    mean of the spans' own, where a span with nothing to find and nothing found has 1, and one
    with either alone has 0.
    """

    precision: float
    recall: float
    f1: float
    spans: int


@dataclass(frozen=True)
class Scores:
    """Scores by modality and for `all` together; a modality counts in prompts that have it.

    `judged`: spans that say exactly what is true, and only they are scored; `wrong`: the others.
    """

    micro: dict[str, Score]
    macro: dict[str, Score]
    judged: int
    wrong: int


@dataclass(frozen=True)
class _Judged:
    """One span's found and true labels, and the modalities of its prompt."""

    found: frozenset[Label]
    true: frozenset[Label]
    modalities: frozenset[str]

    def counts(self, modality: str) -> tuple[int, int, int]:
        """How many labels are right, found and true."""
        found, true = (
            {label for label in labels if modality in ("all", label[0])}
            for labels in (self.found, self.true)
        )
        return len(found & true), len(found), len(true)


def evaluate(
    attributions: Iterable[Attribution],
    traces: Mapping[str, Trace],
    truths: Mapping[str, Truth],
) -> Scores:
    """Scores of the attributions whose samples have a truth; the others are passed over.

    OmniTraceError if a truth does not fit its prompt.
    """
    spans: list[_Judged] = []
    wrong = 0
    for attribution in attributions:
        if attribution.id not in truths:
            continue
        trace = traces[attribution.id]
        for span, evidence in match(attribution, truths[attribution.id]):
            if evidence is None:
                wrong += 1
            else:
                spans.append(_judge(attribution.units, trace, span, evidence))
    names = [*MODALITIES, "all"]
    return Scores(
        micro={name: _micro(_counts(spans, name)) for name in names},
        macro={name: _macro(_counts(spans, name)) for name in names},
        judged=len(spans),
        wrong=wrong,
    )


def match(attribution: Attribution, truth: Truth) -> list[tuple[Span, tuple[Evidence, ...] | None]]:
    """Each span with what causes it, None if it does not say what is true.

    As many spans as true sentences: one by one, and the texts must be equal. Otherwise the true
    sentences are looked up in the response, in order; a span that they fill has the evidence of
    all that it overlaps.
    """
    spans, sentences = attribution.spans, truth.sentences
    if len(spans) == len(sentences):
        pairs = zip(spans, sentences, strict=True)
        return [(span, s.evidence if span.text == s.text else None) for span, s in pairs]
    found = _locate(attribution.response, sentences)
    return [(span, _evidence_of(span, found)) for span in spans]


def _locate(response: str, sentences: Sequence[TrueSentence]) -> list[tuple[int, TrueSentence]]:
    """Where the true sentences that the response says begin."""
    found, after = [], 0
    for sentence in sentences:
        start = response.find(sentence.text, after)
        if start >= 0:
            found.append((start, sentence))
            after = start + len(sentence.text)
    return found


def _evidence_of(
    span: Span, found: Sequence[tuple[int, TrueSentence]]
) -> tuple[Evidence, ...] | None:
    filled = list(span.text)
    evidence: list[Evidence] = []
    for start, sentence in found:
        low, high = max(start, span.start), min(start + len(sentence.text), span.end)
        if low < high:
            filled[low - span.start : high - span.start] = " " * (high - low)
            evidence += sentence.evidence
    return None if "".join(filled).strip() else tuple(evidence)


def _judge(units: Units, trace: Trace, span: Span, evidence: Sequence[Evidence]) -> _Judged:
    found = {label for source in span.sources for label in _labels(units, trace, source.unit)}
    true = {label for one in evidence for label in _true_labels(units, trace, one)}
    kinds = {Modality(int(kind)).label for kind in np.unique(trace.timeline.modality)}
    present = ({"text"} & kinds) | {medium.kind for medium in trace.media}
    return _Judged(frozenset(found), frozenset(true), frozenset(present))


def _labels(units: Units, trace: Trace, unit: int) -> list[Label]:
    """What a source unit claims: itself, or the seconds of its medium."""
    medium = int(units.medium[unit])
    kind = "text" if medium < 0 else trace.media[medium].kind
    if kind in ("text", "image"):
        return [(kind, -1, unit)]
    return _seconds(kind, medium, float(units.start_s[unit]), float(units.end_s[unit]))


def _true_labels(units: Units, trace: Trace, one: Evidence) -> list[Label]:
    """What a piece of evidence calls for; all seconds of a medium if it names none."""
    part = part_of(trace, one)
    if one.start_s is None or one.end_s is None or part.medium < 0:
        return [
            label
            for unit in true_units(units, trace, [one])
            for label in _labels(units, trace, unit)
        ]
    return _seconds(part.kind, part.medium, one.start_s, one.end_s)


def _seconds(kind: str, medium: int, start: float, end: float) -> list[Label]:
    """The 1-second bins that [start, end) overlaps."""
    return [(kind, medium, second) for second in range(floor(start + _FUZZ), ceil(end - _FUZZ))]


def _counts(spans: Iterable[_Judged], modality: str) -> list[tuple[int, int, int]]:
    return [s.counts(modality) for s in spans if modality in ("all", *s.modalities)]


def _micro(counts: Sequence[tuple[int, int, int]]) -> Score:
    right, found, true = (
        (sum(column) for column in zip(*counts, strict=True)) if counts else (0,) * 3
    )
    return Score(*_prf(right, found, true), len(counts))


def _macro(counts: Sequence[tuple[int, int, int]]) -> Score:
    values = np.array([_prf(*span) for span in counts]).reshape(-1, 3)
    precision, recall, f1 = values.mean(axis=0).tolist() if len(values) else (1.0, 1.0, 1.0)
    return Score(precision, recall, f1, len(counts))


def _prf(right: int, found: int, true: int) -> tuple[float, float, float]:
    """Precision, recall, F1; with nothing found the precision is 0, unless nothing was there."""
    if not found and not true:
        return 1.0, 1.0, 1.0
    return (
        right / found if found else 0.0,
        right / true if true else 0.0,
        2 * right / (found + true),
    )
