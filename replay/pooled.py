"""Masses of single heads, which level `heads` pooled to units when it was recorded.

Knows how recorded units merge into others; not how rows are read.
"""

from __future__ import annotations

import numpy as np

from omnitrace.arrays import Float32, Float64, Int64
from omnitrace.errors import CommandError
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.config import ReplayConfig
from replay.mass import calibrate
from replay.rows import chosen_heads, shares


def pooled_mass(trace: Trace, units: Units, config: ReplayConfig) -> Float32:
    """(T, m) float32: the masses of `config.heads`, max(0, Σ w·M[l,h] / Σ|w|), then calibrated.

    CommandError where pooled masses cannot tell: they know neither single tokens (`max`) nor
    earlier steps (`indirect`), and only units that recorded ones make up exactly.
    """
    if config.reduce == "max" or config.indirect:
        raise CommandError(
            f"sample '{trace.id}': its heads were pooled to units when they were recorded, so "
            'that reduce = "max" and indirect cannot be had; record with --level qk for them.'
        )
    pooled = trace.heads()
    weights = chosen_heads(trace, config, pooled.mass.shape[:2])
    total = np.zeros((trace.T, pooled.mass.shape[3]))
    for (layer, head), share in zip(weights, shares(weights), strict=True):
        total += share * pooled.mass[layer, head]
    return calibrate(
        _merged(np.maximum(total, 0), merged_units(trace, units), len(units)),
        units,
        trace.n,
        config.reduce,
    )


def merged_units(trace: Trace, units: Units) -> Int64:
    """(recorded units,) the unit that each recorded one is in, -1 for none; CommandError naming
    one that is cut apart, or whose tokens no recorded unit holds."""
    recorded = trace.heads().unit_of
    owner = units.owner_of_tokens(trace.n)
    count = trace.heads().mass.shape[3]
    merged = np.full(count, -1)
    merged[recorded[recorded >= 0]] = owner[recorded >= 0]
    expected = np.where(recorded >= 0, merged[recorded], -1)
    wrong = np.flatnonzero(owner != expected)
    if wrong.size:
        token = int(wrong[0])
        unit = max(int(owner[token]), int(expected[token]))
        raise CommandError(
            f"sample '{trace.id}': its heads were pooled to units when they were recorded, and "
            f"'{units.label[unit]}' is not made of whole ones; replay with those units."
        )
    return merged


def _merged(total: Float64, merged: Int64, m: int) -> Float64:
    """(T, m): the columns of `total` (T, recorded units) added up by unit."""
    held = merged >= 0
    member = np.zeros((len(merged), m))
    member[np.flatnonzero(held), merged[held]] = 1
    return total @ member
