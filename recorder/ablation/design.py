"""Which masks are recorded: all, none, each part, each unit alone, and drawn ones. Pure numpy.

Hierarchical, so that few rows say much: first what is coarse (content parts), then what is fine
(units, and where these are finer, base units), then draws, mostly by units. A third of the draws is
held out, so that what is fitted is never judged on its own rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnitrace.ablations import LEAST_JUDGED, Row
from omnitrace.arrays import Bool, UInt8
from recorder.ablation.base import Base


@dataclass(frozen=True)
class Design:
    """M rows: `kept` (M, U) bool, `why` (M,) uint8, `held_out` (M,) bool, as in `Ablations`."""

    kept: Bool
    why: UInt8
    held_out: Bool


def design(base: Base, masks: int, seed: int, weight: npt.NDArray[np.floating]) -> Design:
    """At most `masks` different rows, always the same for the same seed.

    Half of them at most leave out one part or one unit; where units are too many for that, those
    of the largest `weight` (U,) come first. Drawn rows keep each unit, of four one each part or
    base unit where these differ, with probability 1/2, and the request always. Where fewer masks
    exist, there are fewer rows.
    """
    rows = _Rows()
    rows.add(np.ones(len(base), bool), Row.FULL)
    rows.add(base.request, Row.EMPTY)
    for kept, why in _one_by_one(base, weight):
        if len(rows.kept) < masks // 2:
            rows.add(kept, why)
    rng = np.random.default_rng([seed, len(base)])
    levels, tries = _levels(base), 0
    while len(rows.kept) < masks and tries < 8 * masks:
        why, of_unit = levels[tries % len(levels)]
        drawn = rng.random(of_unit.max(initial=0) + 1) < 0.5
        rows.add(drawn[of_unit] | base.request, why)
        tries += 1
    return rows.design()


def masks_needed(base: Base, made: Design, masks: int) -> int:
    """How many masks would do where `made`, at most `masks` rows, cannot answer all metrics: with
    too few held-out draws to rank, or units that no row leaves out alone. 0 where it can, or where
    the prompt has too few units for more rows."""
    singles = _Rows()
    for kept, why in _one_by_one(base, np.zeros(len(base))):
        singles.add(kept, why)
    there = {kept.tobytes() for kept in made.kept}
    whole = all(kept.tobytes() in there for kept in singles.kept)
    if len(made.kept) < masks or (whole and made.held_out.sum() >= LEAST_JUDGED):
        return 0
    return 2 * max(len(singles.kept) + 2, 3 * LEAST_JUDGED)


def _one_by_one(base: Base, weight: npt.NDArray[np.floating]) -> list[tuple[Bool, Row]]:
    """Without each part but the request's, each unit and each base unit, the heaviest first."""
    request = set(base.part[base.request].tolist())
    parts = [part for part in np.unique(base.part).tolist() if part not in request]
    weights = np.bincount(base.unit, weight, minlength=1)
    units = [unit for unit in np.argsort(-weights, kind="stable") if unit in base.unit]
    numbers = np.arange(len(base))
    return [
        *((base.part != part, Row.WITHOUT_PART) for part in parts),
        *((base.unit != unit, Row.WITHOUT_UNIT) for unit in units),
        *((numbers != one, Row.WITHOUT_UNIT) for one in np.argsort(-weight, kind="stable")),
    ]


def _levels(base: Base) -> list[tuple[Row, npt.NDArray[np.intp]]]:
    """What four draws in a row keep or leave as a whole: mostly units; parts and base units where
    these differ from them."""
    free = ~base.request
    by_unit, by_part = (np.unique(x, return_inverse=True)[1] for x in (base.unit, base.part))
    units = (Row.DRAWN, by_unit)
    levels = [units, units, units, units]
    if 2 <= len(np.unique(base.part[free])) < len(np.unique(base.unit[free])):
        levels[3] = (Row.DRAWN_PARTS, by_part)
    if len(np.unique(base.unit)) < len(base):
        levels[1] = (Row.DRAWN_BASE, np.arange(len(base)))
    return levels


class _Rows:
    """Rows so far, none twice; a part of one unit is left out as a unit."""

    def __init__(self) -> None:
        self._there: set[bytes] = set()
        self.kept: list[Bool] = []
        self.why: list[Row] = []

    def add(self, kept: Bool, why: Row) -> None:
        if kept.tobytes() not in self._there:
            gone = np.flatnonzero(~kept)
            self._there.add(kept.tobytes())
            self.kept.append(kept)
            alone = len(gone) == 1 and why == Row.WITHOUT_PART
            self.why.append(Row.WITHOUT_UNIT if alone else why)

    def design(self) -> Design:
        why = np.array(self.why, np.uint8)
        drawn = np.flatnonzero(why >= Row.DRAWN)
        held_out = np.zeros(len(why), bool)
        held_out[drawn[2::3]] = True
        return Design(np.array(self.kept), why, held_out)
