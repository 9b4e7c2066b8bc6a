"""Ablations of a made trace with every mask there is, from a known law of what needs what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np

from omnitrace.ablations import Ablations, Row
from omnitrace.arrays import Bool, Int32
from omnitrace.trace import Trace
from replay.config import PRESETS, ReplayConfig
from replay.methods import AttributionTask
from tests.build import make_trace

Law = Callable[[Bool], float]

NO_REQUEST = replace(PRESETS["paper"], units=replace(PRESETS["paper"].units, request="leave-out"))


def needing(*units: int, weight: float = 4.0) -> Law:
    """Log-odds that fall by `weight` for each of these base units that is gone."""
    return lambda kept: 5.0 - weight * float((~kept[list(units)]).sum())


def every_mask(trace: Trace, unit_of: Int32, law: Law) -> Ablations:
    """All masks that keep the last unit, which asks; every third is held out."""
    units = int(unit_of.max()) + 1
    kept = np.array([[*bits, True] for bits in product((True, False), repeat=units - 1)])
    why = np.full(len(kept), Row.DRAWN, np.uint8)
    why[0], why[-1] = Row.FULL, Row.EMPTY
    odds = np.array([[law(row) + 0.01 * t for t in range(trace.T)] for row in kept])
    held_out = (np.arange(len(kept)) % 3 == 2) & (why == Row.DRAWN)
    request = np.arange(units) == units - 1
    return Ablations("mask", "mask", unit_of, request, kept, why, held_out, odds.astype(np.float32))


def ablated(law: Law | None = None, config: ReplayConfig = NO_REQUEST) -> AttributionTask:
    """A task about a made trace, whose base units are its replay units and the request.

    Its second unit is needed if nothing else is said.
    """
    law = law or needing(1)
    trace = make_trace()
    owner = trace.units(PRESETS["paper"].units).owner_of_tokens(trace.n)
    trace = replace(trace, ablations={"mask": every_mask(trace, owner, law)})
    return AttributionTask(trace, config)
