"""The attention that the finer levels record: heads pooled to units, or queries and keys.

Pure data over numpy arrays, and the attention that follows from it. Knows no trace, model or store.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Array, Float32, Float64, Int32

HEAD_ARRAYS = {"heads": "mass", "heads_unit": "unit_of"}
QUERY_KEY_ARRAYS = {name: name for name in ("queries", "keys", "scaling", "windows")}
"""Names among a trace's arrays → fields of the two classes."""


@dataclass(frozen=True)
class HeadMass:
    """Level `heads`: `mass` (layers, heads, T, units) float32, the attention of each step's query
    to each unit; `unit_of` (n,) int32, the unit of each prompt token, -1: none."""

    mass: Float32
    unit_of: Int32


@dataclass(frozen=True)
class QueryKeys:
    """Level `qk`: the queries and keys that give the attention of every layer and head.

    `queries` (layers, heads, T, d): of each step; `keys` (layers, groups, n + T - 1, d): of each
    token before the last; both rotated, float32 or float16, or uint16 for the bits of bfloat16
    (the upper halves of float32). `scaling` (layers,) float64; `windows` (layers,) int32: the most
    keys that a query of the layer sees, 0 for all.
    """

    queries: Array
    keys: Array
    scaling: Float64
    windows: Int32

    def rows(self, layer: int) -> Float32:
        """(heads, T, n + T) float32: softmax(q kᵀ · scaling) of one layer, each row t zero from
        column n + t on."""
        q, k = (float32_of(values[layer]) for values in (self.queries, self.keys))
        heads, steps, width = q.shape
        prompt = k.shape[1] - max(steps, 1) + 1
        scores = (q.reshape(len(k), heads // len(k) * steps, width) @ k.mT).reshape(
            heads, steps, k.shape[1]
        )
        scores *= np.float32(self.scaling[layer])
        columns, last = np.arange(k.shape[1]), prompt - 1 + np.arange(steps)[:, None]
        hidden = columns > last
        if self.windows[layer]:
            hidden |= columns <= last - self.windows[layer]
        scores[:, hidden] = -np.inf
        rows = np.zeros((heads, steps, prompt + steps), np.float32)
        if steps:
            raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
            rows[..., : k.shape[1]] = raised / raised.sum(axis=-1, keepdims=True)
        return rows


def float32_of(values: Array) -> Float32:
    """Queries or keys as numbers: uint16 holds the bits of bfloat16."""
    if values.dtype == np.uint16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)
