"""Chunks, which baselines compare: the sentences of a response and the sources of its prompt.

Shared by replay, which makes them, and the recorder, which embeds them. Data only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Bool, Float64, Int32


@dataclass(frozen=True)
class Chunks:
    """L sources of a prompt of n tokens, and the K sentences of its response.

    - `owner` (n,) int32: the source of each prompt token, -1 for none; a source without tokens
      cannot be compared;
    - `sources`: L;
    - `sentences` (K, 2) int32: characters of the response; `steps` (K, 2) int32: their steps,
      half-open.
    """

    owner: Int32
    sources: int
    sentences: Int32
    steps: Int32

    @property
    def comparable(self) -> Bool:
        """(L,) bool: which sources have tokens."""
        return np.bincount(self.owner[self.owner >= 0], minlength=self.sources) > 0


def cosines(sentences: Float64, sources: Float64) -> Float64:
    """(K, L) float64: cosine similarity of (K, d) and (L, d); 0 where a vector is zero."""
    lengths = (np.linalg.norm(vectors, axis=1) for vectors in (sentences, sources))
    scale = np.outer(*lengths)
    product = sentences @ sources.T
    similarity: Float64 = np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)
    return similarity
