"""From similarities to labels: which pairs of sentence and source a threshold keeps.

Knows the judging space and labels; not where similarities come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from omnitrace.arrays import Bool, Float64
from omnitrace.chunks import Chunks
from omnitrace.timeline import Modality
from omnitrace.trace import Trace
from replay.evaluation.gold import steps_of_sentences
from replay.evaluation.labels import Labels, labels_of, sentences_of
from replay.evaluation.space import MODALITIES, Space, judging_space

DIGITS = 6
"""Decimals of a similarity, so that results read from disk give the same labels again."""

Thresholds = Mapping[str, float]
"""By modality."""


def same_threshold(threshold: float) -> Thresholds:
    """One threshold for every modality, as the paper has it."""
    return dict.fromkeys(MODALITIES, threshold)


@dataclass(frozen=True)
class Similarity:
    """How similar each sentence of one response is to each label of its judging space.

    `values` (K, L) float64, NaN where a sentence and a label cannot be compared.
    """

    trace: Trace
    space: Space
    values: Float64

    @cached_property
    def compared(self) -> Bool:
        """(4,) bool: the modalities that the baseline compares."""
        comparable = ~np.isnan(self.values).all(axis=0)
        return np.bincount(self.space.kind[comparable], minlength=4)[:4] > 0

    def pairs(self, thresholds: Thresholds) -> Bool:
        """(K, L) bool: the pairs that are at least as similar as their modality's threshold."""
        least = np.array([thresholds[name] for name in MODALITIES])
        pairs: Bool = self.values >= least[self.space.kind]
        return pairs

    def labels(self, thresholds: Thresholds, labeller: str) -> Labels:
        """The labels of these pairs."""
        return Labels(
            id=self.trace.id,
            labels=labels_of(self.trace, self.space, self.pairs(thresholds), self.compared),
            sentences=sentences_of(self.trace),
            labeller=labeller,
        )


def similarity(trace: Trace, values: Float64) -> Similarity:
    """`values` (K, L) of the chunks of `trace`, rounded."""
    return Similarity(trace, judging_space(trace), np.round(values, DIGITS))


def chunks_of(trace: Trace) -> Chunks:
    """The sentences of the response, and as sources the labels of the judging space: sentences of
    the prompt, images, bins of time.

    Bins have no tokens here: they are no chunks that mean something by themselves (App. C.2).
    """
    space, line = judging_space(trace), trace.timeline
    owner = space.of_token.copy()
    for label in np.flatnonzero(space.kind == Modality.IMAGE).tolist():
        owner[(line.modality == Modality.IMAGE) & (line.medium == space.medium[label])] = label
    return Chunks(owner, len(space), trace.sentences, steps_of_sentences(trace))
