"""The random baseline (paper, App. C.2.3): similarities drawn, evenly from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from omnitrace.arrays import Float64
from omnitrace.baseline import BaselineConfig
from omnitrace.chunks import Chunks
from omnitrace.trace import Trace


def load(identity: Mapping[str, Any], config: BaselineConfig) -> RandomMatch:
    """As every baseline; of its configuration `seed` and `time`."""
    return RandomMatch(config.seed, config.time)


@dataclass(frozen=True)
class RandomMatch:
    """Draws from `seed` and the sample's id, so that samples do not depend on one another.

    `time`: also for bins of time, which the paper leaves out.
    """

    seed: int = 0
    time: bool = False

    def similarities(self, trace: Trace, chunks: Chunks) -> Float64:
        """(K, L) float64, NaN for what is not compared."""
        own = sha256(trace.id.encode("utf-8", "surrogatepass")).digest()
        rng = np.random.default_rng([self.seed, int.from_bytes(own[:8])])
        drawn = rng.random((len(chunks.sentences), chunks.sources))
        if not self.time:
            drawn[:, ~chunks.comparable] = np.nan
        return drawn
