"""Golds of the small traces, random but seeded; light, as other processes import them too."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from omnitrace.trace import Trace
from replay.evaluation.gold import Gold, steps_of_sentences
from replay.evaluation.space import judging_space
from tests.build import make_trace


def random_gold(seed: int) -> Gold:
    """A gold of the small answer: random truth, sentences judged and modalities looked at."""
    rng, trace = np.random.default_rng(seed), make_trace(seed=seed)
    space = judging_space(trace)
    return Gold(
        id=trace.id,
        space=space,
        sentences=trace.sentences,
        steps=steps_of_sentences(trace),
        true=rng.random((len(trace.sentences), len(space))) < 0.3,
        judged=rng.random(len(trace.sentences)) < 0.7,
        scored=rng.random(4) < 0.7,
    )


@dataclass(frozen=True)
class Seeded:
    """Random golds by the number in a sample's id; every eleventh sample has none."""

    def __contains__(self, id: str) -> bool:
        return int(id) % 11 != 10

    def gold(self, trace: Trace, seconds: float = 1.0) -> Gold:
        return replace(random_gold(int(trace.id)), id=trace.id)
