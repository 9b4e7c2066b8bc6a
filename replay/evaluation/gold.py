"""Gold: what is true of each sentence of one response, on its judging space.

From a planted truth here, from a labels file in replay.evaluation.labels. Knows no score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnitrace.arrays import Bool, Int32, Int64
from omnitrace.sentences import first_visible
from omnitrace.trace import Trace
from replay.evaluation.space import COLUMNS, MODALITIES, Space, judging_space
from replay.evaluation.truth import Evidence, Truth, evidence_of, part_of, tokens_of


@dataclass(frozen=True)
class Gold:
    """The truth about the K recorded sentences of one response, over the L labels of `space`.

    - `sentences` (K, 2) int32: characters of the response; `steps` (K, 2) int32: half-open, the
      steps that write it, never empty where there are steps at all;
    - `true` (K, L) bool; `judged` (K,) bool: a sentence without a known truth is not scored;
    - `scored` (4,) bool: which of `MODALITIES` are scored: the prompt has them, and the gold covers
      them;
    - `task`: what the sample was about, for grouping; empty if unknown.
    """

    id: str
    space: Space
    sentences: Int32
    steps: Int32
    true: Bool
    judged: Bool
    scored: Bool
    task: str = ""

    def found(self, claims: Bool, selected: Bool, steps: Int32) -> Bool:
        """(K, L) bool: what an attribution found for each sentence.

        The union of what the sources of all spans claim that share a step with the sentence.
        `claims` (m, L), of `space.claims`; `selected` (S, m): the sources of each span; `steps`
        (S, 2): the spans.
        """
        return _any(shared_steps(self.steps, steps), _any(selected, claims))

    def within(self, steps: Int32) -> Gold:
        """The gold of the sentences that share a step with any of the spans `steps` (S, 2): what
        can be found where only a part of the response is attributed."""
        inside = shared_steps(self.steps, steps).any(axis=1)
        if inside.all():
            return self
        return replace(
            self,
            sentences=self.sentences[inside],
            steps=self.steps[inside],
            true=self.true[inside],
            judged=self.judged[inside],
        )

    def counts(self, found: Bool) -> Int64:
        """(K, 5, 3) int64: right, found and true labels of each sentence by `COLUMNS`.

        0 in a modality that is not scored; such labels do not count in `all` either.
        """
        column = np.zeros((len(self.space), len(COLUMNS)), np.int64)
        column[np.arange(len(column)), self.space.kind] = self.scored[self.space.kind]
        column[:, -1] = column.sum(axis=1)
        return np.stack([part @ column for part in (found & self.true, found, self.true)], axis=-1)

    @property
    def modalities(self) -> str:
        """What the prompt is made of, in words: `text+image`."""
        return "+".join(np.array(MODALITIES)[self.space.present].tolist())


def shared_steps(one: Int32, other: Int32) -> Bool:
    """(a, b) bool: which of the half-open ranges `one` (a, 2) share a step with which of `other`
    (b, 2)."""
    shared: Bool = (one[:, :1] < other[:, 1]) & (other[:, 0] < one[:, 1:])
    return shared


def steps_of_sentences(trace: Trace) -> Int32:
    """(K, 2) int32: the steps of each recorded sentence, as the chunker `sentence` has them.

    A sentence in which no step begins has the step that runs into it.
    """
    starts = trace.sentences[:, 0]
    visible = first_visible(trace.response, trace.chars)
    number = np.searchsorted(starts, np.maximum.accumulate(visible), side="right") - 1
    number, sentence = np.maximum(number, 0), np.arange(len(starts))
    first, last = (np.searchsorted(number, sentence, side) for side in ("left", "right"))
    first = np.where(first == last, np.maximum(first - 1, 0), first)
    return np.stack([first, last], axis=1).astype(np.int32)


def golds_of_truths(
    traces: Mapping[str, Trace], truths: Mapping[str, Truth], seconds: float = 1.0
) -> dict[str, Gold]:
    """The gold of every sample of `traces` that has a truth."""
    return {
        id: gold_of_truth(traces[id], truth, seconds)
        for id, truth in truths.items()
        if id in traces
    }


def gold_of_truth(trace: Trace, truth: Truth, seconds: float = 1.0) -> Gold:
    """The gold of a planted truth; a sentence that is not true is not judged.

    OmniTraceError if the truth does not fit the prompt.
    """
    space = judging_space(trace, seconds)
    known = evidence_of(trace.response, trace.sentences.tolist(), truth)
    rows = [_true(space, trace, evidence or ()) for evidence in known]
    return Gold(
        id=trace.id,
        space=space,
        sentences=trace.sentences,
        steps=steps_of_sentences(trace),
        true=np.array(rows, np.bool_).reshape(len(rows), len(space)),
        judged=np.array([evidence is not None for evidence in known], np.bool_),
        scored=space.present,
    )


def _true(space: Space, trace: Trace, evidence: Sequence[Evidence]) -> Bool:
    """(L,): the labels that hold any of the evidence."""
    true = np.zeros(len(space), np.bool_)
    for one in evidence:
        part, label = part_of(trace, one), space.of_token[tokens_of(trace, one)]
        if part.medium < 0:
            true[label[label >= 0]] = True
        elif one.start_s is None or one.end_s is None:
            true |= space.stretch(part.medium)
        else:
            true |= space.stretch(part.medium, one.start_s, one.end_s)
    return true


def _any(left: Bool, right: Bool) -> Bool:
    """The boolean product of (a, b) and (b, c): numpy has a fast one for floats only."""
    product: Bool = (left.astype(np.float32) @ right.astype(np.float32)) > 0
    return product
