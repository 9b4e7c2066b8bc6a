"""Disagreement: where two attributions of the same units differ, and what may explain it.

Made for a signal against a cause: a unit that attention names and that nothing depends on, or the
other way round. Knows tasks and methods; no terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from omnitrace.arrays import Bool, Float64
from omnitrace.errors import CommandError, nearest
from replay.config import PRESETS, ReplayConfig, SpanStage, UnitStage, with_stages
from replay.methods import METHODS, AttributionTask
from replay.stats import spearman

ALWAYS = 1.25
"""A unit that gets less than this many times its usual mass here gets it in any span."""
LONG = 0.75
"""A unit whose tokens get less than this share of what the prompt's tokens get, on average."""
DETOUR = 2.0
"""A unit that gets this many times its mass under the rollout of earlier steps."""

REASONS = {
    "sink": "it gets as much in the other sentences",
    "length": "it has many tokens, of which each gets little",
    "indirect": "it is reached by way of what was generated before",
    "request": "it is what was asked",
}
"""What may explain a disagreement."""


@dataclass(frozen=True)
class Disagreement:
    """A unit that only one side names, `a` or `b`; the shares of the span's positive scores that
    each gives it, and which of `REASONS` hold."""

    unit: int
    side: str
    share_a: float
    share_b: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """One span: units that both name, those that one names, the overlap of sources (Jaccard; 1 if
    neither names any) and the rank correlation of the scores."""

    text: str
    both: tuple[int, ...]
    disagreements: tuple[Disagreement, ...]
    overlap: float
    correlation: float


@dataclass(frozen=True)
class Side:
    """One of the two: a method of the registry under a configuration."""

    name: str
    method: str
    config: ReplayConfig


def side(name: str, base: ReplayConfig) -> Side:
    """A method by its name, or a preset; its units and spans are those of `base`.

    CommandError naming the legal ones otherwise.
    """
    if name in METHODS:
        return Side(name, name, base)
    if name not in PRESETS:
        legal = [*METHODS, *PRESETS]
        raise CommandError(f"there is no method or preset '{name}': {nearest(name, legal)}.")
    return Side(name, "signal", with_stages(PRESETS[name], base, UnitStage, SpanStage))


def compare(a: AttributionTask, b: AttributionTask, methods: tuple[str, str]) -> list[Comparison]:
    """Every span of a sample under two tasks with the same units. Raises what a method does.

    Reasons are read from the signal of `a`'s configuration.
    """
    scores = [METHODS[name].scores(q) for name, q in zip(methods, (a, b), strict=True)]
    named = ~a.units.unnamed
    chosen = [
        METHODS[name].sources(q, values) & named
        for name, q, values in zip(methods, (a, b), scores, strict=True)
    ]
    reasons = _reasons(a)
    return [
        _span(
            a.trace.response[span.start : span.end],
            (scores[0][k], scores[1][k]),
            (chosen[0][k], chosen[1][k]),
            {name: holds[k] for name, holds in reasons.items()},
        )
        for k, span in enumerate(a.spans)
    ]


def _span(
    text: str, scores: tuple[Float64, Float64], chosen: tuple[Bool, Bool], reasons: dict[str, Bool]
) -> Comparison:
    """One span, from (m,) arrays of either side."""
    both, apart = (
        np.flatnonzero(found) for found in (chosen[0] & chosen[1], chosen[0] ^ chosen[1])
    )
    shares = [_shares(values) for values in scores]
    disagreements = [
        Disagreement(
            unit=unit,
            side="a" if chosen[0][unit] else "b",
            share_a=float(shares[0][unit]),
            share_b=float(shares[1][unit]),
            reasons=tuple(name for name, holds in reasons.items() if holds[unit]),
        )
        for unit in apart.tolist()
    ]
    named = len(both) + len(apart)
    overlap = len(both) / named if named else 1.0
    correlation = spearman(*scores, constant=0.0)
    return Comparison(text, tuple(both.tolist()), tuple(disagreements), overlap, correlation)


def _shares(scores: Float64) -> Float64:
    positive = np.maximum(scores, 0.0)
    total = float(positive.sum())
    shares: Float64 = positive / total if total > 0 else positive
    return shares


def _reasons(task: AttributionTask) -> dict[str, Bool]:
    """Which reasons hold for each span and unit, (K, m) each."""
    steps, sums = task.steps.astype(np.float64), _masses(task, 0.0)
    per_step = steps.sum(axis=1, keepdims=True).clip(1)
    here, usual = steps @ sums / per_step, sums.mean(axis=0)
    sizes = task.units.sizes
    a_token = here.sum(axis=1, keepdims=True) / sizes.sum()
    rolled_out = steps @ _masses(task, 1.0) / per_step
    request = _in_request(task)
    return {
        "sink": (here > 0) & (here < ALWAYS * usual) & (len(task.spans) > 1),
        "length": (here > 0) & (here / sizes < LONG * a_token),
        "indirect": rolled_out > DETOUR * np.maximum(here, 1e-12),
        "request": np.tile(request, (len(steps), 1)),
    }


def _masses(task: AttributionTask, indirect: float) -> Float64:
    """(T, m) sums of the signal over each unit, with what came by way of earlier steps or not."""
    config = replace(task.config, reduce="sum", indirect=indirect)
    return task.replayer.mass(config).astype(np.float64)


def _in_request(task: AttributionTask) -> Bool:
    """(m,) units that are left out where the request is."""
    without = replace(task.config.units, request="leave-out")
    left = task.trace.units(without).owner_of_tokens(task.trace.n)
    owner = task.units.owner_of_tokens(task.trace.n)
    inside = np.ones(len(task.units), bool)
    inside[owner[(owner >= 0) & (left >= 0)]] = False
    return inside


def summary(found: Iterable[Comparison]) -> dict[str, Any]:
    """Means over spans, and how often each reason holds where only one side names a unit."""
    spans = list(found)
    disagreements = [one for span in spans for one in span.disagreements]
    return {
        "spans": len(spans),
        "overlap": float(np.mean([span.overlap for span in spans])) if spans else None,
        "correlation": float(np.mean([span.correlation for span in spans])) if spans else None,
        "only_a": sum(one.side == "a" for one in disagreements),
        "only_b": sum(one.side == "b" for one in disagreements),
        "reasons": {
            name: {s: sum(name in p.reasons for p in disagreements if p.side == s) for s in "ab"}
            for name in REASONS
        },
    }


def to_json(task: AttributionTask, found: Iterable[Comparison]) -> Mapping[str, Any]:
    """One sample of schema `omnitrace.comparison/1`."""
    name = task.units.id
    return {
        "id": task.trace.id,
        "spans": [
            {
                "text": span.text,
                "overlap": span.overlap,
                "correlation": span.correlation,
                "both": [name[unit] for unit in span.both],
                "partings": [
                    {
                        "unit": name[p.unit],
                        "side": p.side,
                        "share_a": p.share_a,
                        "share_b": p.share_b,
                        "reasons": list(p.reasons),
                    }
                    for p in span.disagreements
                ],
            }
            for span in found
        ],
    }
