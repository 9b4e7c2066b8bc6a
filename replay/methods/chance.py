"""Uninformed methods: units at random, and units by their length. The baseline of every table."""

from __future__ import annotations

import zlib

import numpy as np

from omnitrace.arrays import Float64
from replay.methods.task import AttributionTask


def random(task: AttributionTask) -> Float64:
    """(K, m) numbers in [0, 1), the same for the same sample."""
    rng = np.random.default_rng(zlib.crc32(task.trace.id.encode()))
    return rng.random((len(task.spans), len(task.units)))


def length(task: AttributionTask) -> Float64:
    """(K, m) the number of tokens of each unit."""
    return np.tile(task.units.sizes.astype(np.float64), (len(task.spans), 1))
