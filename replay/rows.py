"""The score rows that a configuration reads from a trace, ragged as they were recorded.

Knows signals, layers, heads and the two first rows; no units and no masses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from omnitrace.arrays import Float32, Int64
from omnitrace.errors import CommandError
from omnitrace.trace import Trace, causal_mask, pack_rows
from replay.config import ScoreStage

Key = TypeVar("Key", int, tuple[int, int])

ATTENTION = "attention"
"""The signal of which single heads can be chosen, and which queries and keys give again."""


@dataclass(frozen=True)
class Rows:
    """a_t(i) of T steps over n prompt tokens and the earlier steps.

    `values` (T·n + T·(T-1)/2,) float32: row after row, row t with its n + t entries.
    """

    values: Float32
    n: int
    T: int

    @classmethod
    def of_dense(cls, scores: Float32) -> Rows:
        """The rows of a score matrix (T, n+T)."""
        steps, width = scores.shape
        return cls(pack_rows(scores, width - steps), width - steps, steps)

    @property
    def starts(self) -> Int64:
        """(T,) int64: where each row begins in `values`."""
        steps = np.arange(self.T)
        starts: Int64 = steps * self.n + steps * (steps - 1) // 2
        return starts

    def dense(self) -> Float32:
        """(T, n+T), row t zero from column n+t on."""
        scores = np.zeros((self.T, self.n + self.T), np.float32)
        scores[causal_mask(self.n, self.T)] = self.values
        return scores


def rows_of(trace: Trace, scores: ScoreStage) -> Rows:
    """The rows that `scores` chooses; may touch the disk.

    - `of_heads`: the weighted mean of these heads' attention, Σ w·A_t[l,h] / Σ|w|, from queries
      and keys;
    - with `layers`: the weighted mean of these layers' rows, Σ w·a_t[l] / Σ|w|;
    - else the recorded rows, averaged over layers if the signal was recorded by layer.

    Rows made of several are clamped at 0, which only signed ones (`gradients`) and negative
    weights need. CommandError if what is chosen was not recorded.
    """
    if of_heads(trace, scores):
        return Rows(_from_queries(trace, scores), trace.n, trace.T)
    values = _recorded(trace, scores)
    if scores.first_step == "prompt-mean" and trace.T:
        values = values.copy()
        values[: trace.n] = trace.first_row(scores.signal)
    return Rows(values, trace.n, trace.T)


def of_heads(trace: Trace, scores: ScoreStage) -> bool:
    """Whether rows come from single heads: where some are chosen, or where no row of `attention`
    was recorded but its heads were."""
    recorded = scores.signal != ATTENTION or ATTENTION in trace.signals
    return bool(scores.heads) or (not recorded and bool({"heads", "queries"} & {*trace.arrays}))


def has_rows(trace: Trace, scores: ScoreStage) -> bool:
    """Whether the signal, its first row and its layers that `scores` chooses were recorded."""
    if scores.signal not in trace.signals:
        return False
    rows = trace.rows(scores.signal)
    layers = layer_weights(scores.layers) if scores.layers else {}
    first = scores.first_step == "query" or rows.first_row is not None or not trace.T
    return first and set(layers) <= set(rows.layers)


def has_heads(trace: Trace, scores: ScoreStage) -> bool:
    """Whether `scores` chooses single heads in a way that is legal, and heads were recorded."""
    legal = scores.signal == ATTENTION and scores.first_step == "query"
    legal = legal and not (scores.heads and scores.layers)
    return legal and bool({"heads", "queries"} & {*trace.arrays})


def _recorded(trace: Trace, scores: ScoreStage) -> Float32:
    """The flat rows of a recorded signal, over its layers or those chosen."""
    recorded = trace.rows(scores.signal)
    blocks = recorded.values.reshape(max(1, len(recorded.layers)), -1)
    if scores.layers:
        weights = layer_weights(scores.layers)
        chosen = trace.layer_positions(scores.signal, list(weights))
        mean: Float32 = shares(weights) @ blocks[chosen]
        return np.maximum(mean, 0, out=mean)
    if not recorded.layers:
        return recorded.values
    mean = blocks.mean(axis=0, dtype=np.float32)
    return np.maximum(mean, 0, out=mean)


def _from_queries(trace: Trace, scores: ScoreStage) -> Float32:
    inner = trace.queries_and_keys()
    weights = chosen_heads(trace, scores, inner.queries.shape[:2])
    share_of = dict(zip(weights, shares(weights), strict=True))
    total = np.zeros((trace.T, trace.n + trace.T), np.float32)
    for layer in sorted({layer for layer, _ in weights}):
        rows = inner.rows(layer)
        for (own, head), share in share_of.items():
            if own == layer:
                total += share * rows[head]
    return pack_rows(np.maximum(total, 0), trace.n)


def chosen_heads(
    trace: Trace, scores: ScoreStage, shape: tuple[int, ...]
) -> dict[tuple[int, int], float]:
    """(layer, head) → weight of `scores` among `shape` (layers, heads); all heads of the layers,
    or all there are, if no heads are named. CommandError naming what is not there."""
    _check_attention(scores)
    layers, heads = shape
    if scores.heads:
        weights = head_weights(scores.heads)
    else:
        by_layer = (
            layer_weights(scores.layers) if scores.layers else dict.fromkeys(range(layers), 1.0)
        )
        weights = {(layer, head): by_layer[layer] for layer in by_layer for head in range(heads)}
    wrong = [f"{layer}.{head}" for layer, head in weights if layer >= layers or head >= heads]
    if wrong:
        raise CommandError(
            f"sample '{trace.id}' has no heads {', '.join(wrong)}; legal: layers 0 to "
            f"{layers - 1}, each with heads 0 to {heads - 1}."
        )
    return weights


def shares(weights: Mapping[Key, float]) -> Float32:
    """The weights over the sum of their sizes, (k,) float32."""
    values = np.array(list(weights.values()))
    normal: Float32 = (values / np.abs(values).sum()).astype(np.float32)
    return normal


def layer_weights(text: str) -> dict[int, float]:
    """`layers` as layer → weight: "20,21" or "20:0.7,21:0.3"; CommandError naming what is wrong."""
    return {int(name): weight for name, weight in _weights("layers", text).items()}


def head_weights(text: str) -> dict[tuple[int, int], float]:
    """`heads` as (layer, head) → weight: "3.0,3.1" or "3.0:0.7,4.2:0.3"; CommandError likewise."""
    named = _weights("heads", text)
    pairs = {name: name.split(".") for name in named}
    return {(int(pairs[name][0]), int(pairs[name][1])): named[name] for name in named}


def _weights(option: str, text: str) -> dict[str, float]:
    """Name → weight of a text of the form that the configuration has checked."""
    pairs = [entry.strip().partition(":") for entry in text.split(",")]
    weights = {name.strip(): float(weight or 1) for name, _, weight in pairs}
    if len(weights) < len(pairs):
        raise CommandError(f"{option} = '{text}' names one of them twice; name each once.")
    if not any(weights.values()):
        raise CommandError(f"{option} = '{text}' weighs nothing; give at least one weight but 0.")
    return weights


def _check_attention(scores: ScoreStage) -> None:
    """CommandError if single heads are chosen of another signal, for step 0 or with layers."""
    if scores.signal != ATTENTION:
        raise CommandError(
            f"heads are the attention's, not {scores.signal}'s; set signal = \"{ATTENTION}\"."
        )
    if scores.first_step != "query":
        raise CommandError('no head has a prompt-mean row; set first_step = "query".')
    if scores.heads and scores.layers:
        raise CommandError("layers and heads cannot both be chosen; leave one of them empty.")
