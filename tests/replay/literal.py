"""The paper's algorithm and its released code in plain loops over lists: what presets must equal.

Units, spans and tags are given; from the recorded rows on, nothing of `replay` is used. Slow on
purpose: benchmarks.replay_speed measures against it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.literal_listing import curate_sources_with_conf
from omnitrace.timeline import Modality
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.config import CurationConfig

Spans = Sequence[tuple[int, int]]
"""Half-open ranges of steps."""


def paper(trace: Trace, units: Units, spans: Spans, signal: str = "attmean") -> list[list[int]]:
    """Algorithm 1: all units compete for a step by the sum of their tokens' scores."""
    masses = [[summed(row, tokens) for tokens in tokens_of(units)] for row in rows(trace, signal)]
    sources, confidence = mapped(masses, list(range(len(units))))
    return curated(trace, spans, sources, confidence, [list(range(len(units)))])


def release(trace: Trace, units: Units, spans: Spans, signal: str = "attmean") -> list[list[int]]:
    """Version 0.1.1: the largest single score; modalities curated apart.

    Text and images compete with one another where there is an image; audio, a film's vision and a
    film's sound each alone. The first step is the mean over the prompt's queries.
    """
    scores = rows(trace, signal)
    first = trace.rows(signal).first_row
    if scores and first is not None:
        scores[0] = first.tolist()
    masses = [[max(row[i] for i in tokens) for tokens in tokens_of(units)] for row in scores]
    kinds = [medium.kind for medium in trace.media]

    def of(kind: Modality, filmed: bool | None = None) -> list[int]:
        return [
            j
            for j in range(len(units))
            if units.modality[j] == kind
            and (filmed is None or (kinds[units.medium[j]] == "video") == filmed)
        ]

    text = of(Modality.TEXT) if "image" in kinds or not kinds else []
    found: list[list[int]] = [[] for _ in spans]
    for heats in (
        [text, of(Modality.IMAGE)],
        [of(Modality.AUDIO, filmed=False)],
        [of(Modality.VIDEO)],
        [of(Modality.AUDIO, filmed=True)],
    ):
        sources, confidence = mapped(masses, sorted(j for heat in heats for j in heat))
        more = curated(trace, spans, sources, confidence, heats)
        found = [own + new for own, new in zip(found, more, strict=True)]
    return found


def rows(trace: Trace, signal: str) -> list[list[float]]:
    """The recorded scores of each step, n + t of them."""
    values, at, found = trace.rows(signal).values.tolist(), 0, []
    for t in range(trace.T):
        found.append(values[at : at + trace.n + t])
        at += trace.n + t
    return found


def tokens_of(units: Units) -> list[list[int]]:
    """The prompt tokens of each unit."""
    tokens: list[list[int]] = [[] for _ in range(len(units))]
    for unit, (start, end) in zip(units.owner.tolist(), units.ranges.tolist(), strict=True):
        tokens[unit] += range(start, end)
    return tokens


def summed(row: list[float], tokens: list[int]) -> float:
    """In float64, kept in float32 as masses are."""
    return float(np.float32(sum(row[i] for i in tokens)))


def mapped(masses: list[list[float]], among: list[int]) -> tuple[list[int], list[float]]:
    """ŝ(t) and c_t: the first of the largest."""
    sources, confidence = [], []
    for row in masses:
        best = -1
        for j in among:
            if best < 0 or row[j] > row[best]:
                best = j
        sources.append(best)
        confidence.append(row[best] if best >= 0 else 0.0)
    return sources, confidence


def curated(
    trace: Trace, spans: Spans, sources: list[int], conf: list[float], heats: list[list[int]]
) -> list[list[int]]:
    """The listing on the votes of each heat in each span; a step that wrote nothing has none."""
    found = []
    for first, last in spans:
        selected: list[int] = []
        for heat in heats:
            voting = [
                t
                for t in range(first, last)
                if sources[t] in heat and trace.response[slice(*trace.chars[t])].strip()
            ]
            ids, pos = [sources[t] for t in voting], [trace.pos[t] for t in voting]
            selected += curate_sources_with_conf(
                ids, pos, [conf[t] for t in voting], CurationConfig()
            )
        found.append(selected)
    return found
