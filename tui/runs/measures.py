"""The computed columns of a run: whether a sample opens, its F1, its share of disputed steps.

Computed sample by sample in the background. Knows no widget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from omnitrace import OmniTraceError, Trace
from omnitrace.arrays import Bool, Float32
from replay import Attribution, ReplayConfig, Replayer
from tui.compare import disputed

Score = Callable[[Trace, Attribution], float | None]
"""The score of an attribution, from 0 to 1; None without labels."""


@dataclass(frozen=True)
class Measures:
    """Measures of S samples, NaN where not known: `f1` (S,) against labels, `differs` (S,) the
    share of steps whose curated sources another configuration changes; `broken` (S,) bool: the
    sample cannot be read."""

    f1: Float32
    differs: Float32
    broken: Bool

    @classmethod
    def blank(cls, count: int) -> Measures:
        """Nothing is known yet."""
        return cls(
            np.full(count, np.nan, np.float32),
            np.full(count, np.nan, np.float32),
            np.zeros(count, np.bool_),
        )


@dataclass(frozen=True)
class MeasureOptions:
    """What to measure: attributions under `config`, by `score`, and compared to `other`."""

    config: ReplayConfig
    other: ReplayConfig | None = None
    score: Score | None = None


def measure(
    replayer: Callable[[str], Replayer], ids: Iterable[str], options: MeasureOptions, into: Measures
) -> Iterator[int]:
    """Measure samples in order, writing into row k of `into`; yields each k when it is done."""
    for k, id in enumerate(ids):
        try:
            _measure(replayer(id), options, into, k)
        except OmniTraceError:
            into.broken[k] = True  # the trace view shows the reason
        yield k


def _measure(replayer: Replayer, options: MeasureOptions, into: Measures, k: int) -> None:
    attribution = replayer.attribute(options.config)
    if options.score is not None:
        known = options.score(replayer.trace, attribution)
        into.f1[k] = np.nan if known is None else known
    if options.other is not None:
        apart = disputed(attribution, replayer.attribute(options.other))
        into.differs[k] = apart.mean() if len(apart) else 0.0
