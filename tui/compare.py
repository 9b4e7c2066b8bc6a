"""Where two attributions of one response differ. Knows no widget."""

from __future__ import annotations

import numpy as np

from omnitrace.arrays import Bool, Int32
from replay import Attribution


def disputed(one: Attribution, other: Attribution) -> Bool:
    """(T,) bool: the steps whose spans have other curated sources in the two attributions.

    Sources are compared by their ids, so that units with other bounds differ. A step that lies in
    no span of one of them is not disputed.
    """
    pairs = zip(_kept_by_step(one), _kept_by_step(other), strict=True)
    return np.array([None not in pair and pair[0] != pair[1] for pair in pairs], np.bool_)


def source_ids(attribution: Attribution, k: int) -> frozenset[str]:
    """The ids of a span's curated sources."""
    ids = attribution.units.id
    return frozenset(ids[source.unit] for source in attribution.spans[k].sources)


def span_at(attribution: Attribution, step: int) -> int | None:
    """The span that holds a step."""
    spans = (k for k, s in enumerate(attribution.spans) if s.steps[0] <= step < s.steps[1])
    return next(spans, None)


def kept_at(attribution: Attribution, step: int) -> frozenset[int]:
    """The units that the span of a step keeps."""
    k = span_at(attribution, step)
    sources = attribution.spans[k].sources if k is not None else ()
    return frozenset(source.unit for source in sources)


def spans_of_steps(attribution: Attribution) -> Int32:
    """(T,) int32: the span of each step, -1 where the step's part is not attributed."""
    span = np.full(len(attribution.unit), -1, np.int32)
    for k, one in enumerate(attribution.spans):
        span[slice(*one.steps)] = k
    return span


def _kept_by_step(attribution: Attribution) -> list[frozenset[str] | None]:
    sets = [*(source_ids(attribution, k) for k in range(len(attribution.spans))), None]
    return [sets[k] for k in spans_of_steps(attribution)]
