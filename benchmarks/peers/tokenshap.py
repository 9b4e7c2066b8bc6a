"""As TokenSHAP: which units does the answer need, told by generating it anew from some of them?

The value of a subset of units is the cosine similarity of TF-IDF vectors of its answer and of the
answer to all (Goldshmidt and Horovicz 2024, §3); a unit's score is the mean value of the subsets
with it less that of those without. Every unit is left out once, the other subsets are drawn. Media
are subsets as texts are, by masking, so that it works in every modality. One score an answer, the
same for all its sentences. Needs no package of TokenSHAP's.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from recorder.inputs.samples import Sample
from recorder.models.adapter import Adapter
from recorder.passes.masked import Masked
from replay.methods import AttributionTask

Bool = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

SUBSETS, LONGEST = 64, 80
"""Answers a sample, as many as there are masks for others; and the most tokens of one."""


class Generating:
    """The live model, asked again with some of the units; counts its answers, by sample."""

    def __init__(self, adapter: Adapter, samples: Iterable[Sample]) -> None:
        self.adapter = adapter
        self.samples = {sample.id: sample for sample in samples}
        self._answers: dict[str, int] = {}

    def scores(self, task: AttributionTask) -> Float64:
        """(K, m), the same in every row."""
        trace, count = task.trace, len(task.units)
        kept = subsets(count, SUBSETS, zlib.crc32(trace.id.encode()))
        shown = np.append(kept, np.ones((len(kept), 1), bool), axis=1)
        passing = Masked(self.adapter, self.adapter.prepare(self.samples[trace.id]))
        owner = task.units.owner_of_tokens(trace.n)
        answers = passing.answers(shown[:, owner], LONGEST)
        self._answers[trace.id] = len(answers)
        texts = [self.adapter.decode(ids) for ids in answers]
        return np.tile(shapley(kept, similarities(trace.response, texts)), (len(task.spans), 1))

    def calls(self, task: AttributionTask) -> int:
        """Answers generated for this sample."""
        return self._answers[task.trace.id]


def subsets(units: int, most: int, seed: int) -> Bool:
    """(r, units) which units are there: each left out once, then others at random, none twice.

    Neither all nor none; `most` rows, more only where there are more units, fewer where there are
    fewer subsets.
    """
    rows = {tuple(row): None for row in (~np.eye(units, dtype=bool)).tolist() if any(row)}
    wanted = max(len(rows), min(most, 2**units - 2))
    rng = np.random.default_rng(seed)
    while len(rows) < wanted:
        row = tuple((rng.random(units) < 0.5).tolist())
        if any(row) and not all(row):
            rows[row] = None
    return np.array(list(rows), bool).reshape(len(rows), units)


def similarities(answer: str, others: Sequence[str]) -> Float64:
    """(r,) cosine of the TF-IDF vectors of each other answer and of this one."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not re.search(r"\w", answer) or not others:
        return np.zeros(len(others))
    vectors = TfidfVectorizer(token_pattern=r"\w+").fit_transform([answer, *others])
    cosines: Float64 = (vectors[1:] @ vectors[0].T).toarray()[:, 0]
    return cosines


def shapley(kept: Bool, value: Float64) -> Float64:
    """(m,): the mean value of the rows (r, m) that have a unit, less that of the others."""
    with_it, without = kept.sum(axis=0), (~kept).sum(axis=0)
    mean_with, mean_without = value @ kept / with_it.clip(1), value @ ~kept / without.clip(1)
    found: Float64 = mean_with - mean_without
    return found
