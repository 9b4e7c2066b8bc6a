"""The scores of a few steps over single prompt tokens, read on demand.

Knows traces and signals; no widget. May read the disk: call from a worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from omnitrace import Trace
from omnitrace.arrays import Float32, Int64
from omnitrace.attention import HEAD_ARRAYS, HeadMass
from omnitrace.units import Units
from replay import Attribution, ReplayConfig
from replay.attribution import mass_key
from replay.rows import Rows, layer_weights, of_heads, rows_of, shares

_TOP = 8  # prompt tokens that are named
_MOST_STEPS = 64  # of a group are averaged: spread over it evenly
_KEPT = 8  # details kept


@dataclass(frozen=True)
class Profile:
    """The score of a step on one unit, layer by layer; `what`: the signal recorded by layer."""

    what: str
    layers: tuple[int, ...]
    mass: Float32


@dataclass(frozen=True)
class StepDetail:
    """The detail of some steps below units: `row` (n,) float32, the mean score of each prompt
    token; `profile` of the first step on the unit that it is traced to; `top`: the prompt tokens
    with the largest scores, largest first, with these scores."""

    steps: tuple[int, int]
    row: Float32
    profile: Profile | None
    top: tuple[tuple[int, float], ...]


class StepReader:
    """Reads single steps of one trace, and keeps the last few: a cursor goes back and forth."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._details: dict[object, StepDetail] = {}
        self._whole: tuple[object, Rows] | None = None  # rows that cannot be read one by one

    def read(self, attribution: Attribution, steps: tuple[int, int]) -> StepDetail:
        """The detail of `steps`, half-open, under the configuration of an attribution."""
        cached = self.cached(attribution, steps)
        if cached is not None:
            return cached
        row = self.row(attribution.config, steps)
        unit = int(attribution.unit[steps[0]])
        profile = self._profile(attribution, steps[0], unit) if unit >= 0 else None
        detail = StepDetail(steps, row, profile, top_tokens(row, _TOP))
        self._details[mass_key(attribution.config), steps] = detail
        for old in [*self._details][:-_KEPT]:
            self._details.pop(old, None)
        return detail

    def cached(self, attribution: Attribution, steps: tuple[int, int]) -> StepDetail | None:
        """The same detail if it is among the last read, else None; never reads the disk."""
        return self._details.get((mass_key(attribution.config), steps))

    def row(self, config: ReplayConfig, steps: tuple[int, int]) -> Float32:
        """(n,) float32: the mean score of each prompt token over `steps`, without rollout through
        earlier steps; zeros where heads were recorded by unit only."""
        stride = -(-(steps[1] - steps[0]) // _MOST_STEPS)
        rows = [self._row(config, step) for step in range(*steps, max(1, stride))]
        mean: Float32 = np.mean(rows, axis=0, dtype=np.float32)
        return mean

    def _row(self, config: ReplayConfig, step: int) -> Float32:
        trace = self.trace
        if of_heads(trace, config):
            return self._row_of_heads(config, step)
        if step == 0 and config.first_step == "prompt-mean":
            return trace.first_row(config.signal)
        rows = trace.step_scores(config.signal, step)[:, : trace.n]
        layers = trace.layers_of(config.signal)
        if not layers:
            return np.asarray(rows[0])
        weights = layer_weights(config.layers) if config.layers else dict.fromkeys(layers, 1.0)
        chosen = [layers.index(layer) for layer in weights]
        mean: Float32 = np.maximum(shares(weights) @ rows[chosen], 0)
        return mean

    def _row_of_heads(self, config: ReplayConfig, step: int) -> Float32:
        if "queries" not in self.trace.arrays:
            return np.zeros(self.trace.n, np.float32)
        key = (config.signal, config.layers, config.heads)
        if self._whole is None or self._whole[0] != key:
            self._whole = key, rows_of(self.trace, config)
        rows = self._whole[1]
        start = int(rows.starts[step])
        return rows.values[start : start + rows.n]

    def _profile(self, attribution: Attribution, step: int, unit: int) -> Profile | None:
        tokens = tokens_of(attribution.units, unit)
        for signal in (attribution.config.signal, *self._layered):
            if signal in self._layered:
                rows = self.trace.step_scores(signal, step)[:, tokens]
                mass = np.maximum(rows, 0).sum(axis=1)
                return Profile(signal, self._layered[signal], mass)
        if self._heads is None:
            return None
        pooled = np.unique(self._heads.unit_of[tokens])
        mass = self._heads.mass[:, :, step, pooled[pooled >= 0]].mean(axis=1).sum(axis=1)
        return Profile("attention", tuple(range(len(mass))), mass)

    @cached_property
    def _layered(self) -> dict[str, tuple[int, ...]]:
        """The signals that were recorded by layer, with their layers."""
        named = {name: self.trace.layers_of(name) for name in self.trace.signals}
        return {name: layers for name, layers in named.items() if layers}

    @cached_property
    def _heads(self) -> HeadMass | None:
        return self.trace.heads() if set(HEAD_ARRAYS) <= set(self.trace.arrays) else None


def top_tokens(row: Float32, count: int) -> tuple[tuple[int, float], ...]:
    """The tokens with the largest of (n,) scores, largest first, with these."""
    count = min(count, len(row))
    best = np.argpartition(-row, count - 1)[:count] if count else np.zeros(0, int)
    order = best[np.argsort(-row[best], kind="stable")]
    return tuple((int(token), float(row[token])) for token in order)


def tokens_of(units: Units, unit: int) -> Int64:
    """The prompt tokens of a unit, ascending."""
    ranges = units.ranges[units.offset[unit] : units.offset[unit + 1]]
    return np.concatenate([np.arange(start, end) for start, end in ranges.tolist()])
