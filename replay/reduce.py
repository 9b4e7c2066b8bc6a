"""How a unit's mass is made of its tokens' scores: the registry of `reduce`.

A new one is a function of the units' sums, and a line in `STATISTICS` or `CALIBRATED`. Knows
arrays only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Float64, Int64


def unchanged(total: Float64, sizes: Int64, n: int) -> Float64:
    """The values as they are."""
    return total


def mean(total: Float64, sizes: Int64, n: int) -> Float64:
    """sum / |S_j|."""
    return total / sizes


def uniform(total: Float64, sizes: Int64, n: int) -> Float64:
    """sum / (|S_j| / (n+t)): how many times what even attention would give the unit.

    Takes out a unit's length, and that rows grow longer.
    """
    return total / sizes * (n + np.arange(len(total)))[:, None]


def lift(total: Float64, sizes: Int64, n: int) -> Float64:
    """sum / (the unit's mean sum over the T steps), 0 where that mean is 0: how much more than
    usual in this response.

    Takes out what a unit always gets: its length, its place, its attention sinks.
    """
    usual = total.mean(axis=0)
    times: Float64 = np.divide(total, usual, out=np.zeros_like(total), where=usual > 0)
    return times


def surplus(total: Float64, sizes: Int64, n: int) -> Float64:
    """max(0, sum - the unit's mean sum over the T steps): `lift` as a difference, so that a unit
    which hardly gets anything does not win by a multiple of it."""
    more: Float64 = np.maximum(total - total.mean(axis=0), 0)
    return more


@dataclass(frozen=True)
class Reduce:
    """An entry of the registry: masses from the scores a_t(i) of n prompt tokens, in two steps.

    - `over_tokens`: the ufunc that joins the scores of each unit's tokens, giving (T, m);
    - `calibrate`: from these, the units' sizes (m,) in tokens and n, the masses (T, m).
    """

    help: str
    calibrate: Callable[[Float64, Int64, int], Float64] = unchanged
    over_tokens: np.ufunc = np.add

    @property
    def additive(self) -> bool:
        """Whether the sums of parts of a unit give the unit's: then scores that were added up
        when they were recorded, or by the rollout, serve too."""
        return self.over_tokens is np.add


STATISTICS: dict[str, Reduce] = {
    "sum": Reduce("their sum"),
    "max": Reduce("largest", over_tokens=np.maximum),
    "mean": Reduce("mean", mean),
}
"""The paper's equation (§3.2); the best single token, as the release has it; sum / |S_j|."""

CALIBRATED: dict[str, Reduce] = {
    "uniform": Reduce("the sum over what even attention would give", uniform),
    "lift": Reduce("the sum over the unit's mean sum in this response", lift),
    "surplus": Reduce("the sum less that mean, not below 0", surplus),
}

REDUCES = STATISTICS | CALIBRATED


def help_text() -> str:
    """What each entry does, in one sentence."""
    *first, last = (reduce.help for reduce in STATISTICS.values())
    named = (f"{name}, {reduce.help}" for name, reduce in CALIBRATED.items())
    return "; ".join([f"{', '.join(first)} or {last}", *named])
