"""What must be computed to be known of a sample: does it open, how right, how disputed is it?

Computed sample by sample while the reader looks on. Knows no widget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnitrace import OmniTraceError, Trace
from replay import Attribution, ReplayConfig, Replayer
from tui.compare import disputed

Score = Callable[[Trace, Attribution], float | None]
"""How right an attribution is, from 0 to 1; None where nobody knows."""


@dataclass(frozen=True)
class Measures:
    """Of S samples, NaN where not known (yet): `f1` (S,) against labels, `differs` (S,) the share
    of steps whose curated sources another configuration changes; `broken` (S,) bool: unreadable."""

    f1: npt.NDArray[np.float32]
    differs: npt.NDArray[np.float32]
    broken: npt.NDArray[np.bool_]

    @classmethod
    def blank(cls, count: int) -> Measures:
        """Nothing is known yet."""
        return cls(
            np.full(count, np.nan, np.float32),
            np.full(count, np.nan, np.float32),
            np.zeros(count, np.bool_),
        )


@dataclass(frozen=True)
class Plan:
    """What to measure: attributions under `config`, by `score`, and beside `other`."""

    config: ReplayConfig
    other: ReplayConfig | None = None
    score: Score | None = None


def measure(
    replayer: Callable[[str], Replayer], ids: Iterable[str], plan: Plan, into: Measures
) -> Iterator[int]:
    """Measure samples in order, writing into row k of `into`; yields each k when it is done."""
    for k, id in enumerate(ids):
        try:
            _measure(replayer(id), plan, into, k)
        except OmniTraceError:
            into.broken[k] = True  # its own view says why
        yield k


def _measure(replayer: Replayer, plan: Plan, into: Measures, k: int) -> None:
    attribution = replayer.attribute(plan.config)
    if plan.score is not None:
        known = plan.score(replayer.trace, attribution)
        into.f1[k] = np.nan if known is None else known
    if plan.other is not None:
        apart = disputed(attribution, replayer.attribute(plan.other))
        into.differs[k] = apart.mean() if len(apart) else 0.0
