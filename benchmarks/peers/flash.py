"""FlashTrace 0.1.1: information flow from the prompt to a span, with and without its recursion.

A span is FlashTrace's target; what the answer says before it belongs to the prompt there. It reads
attention weights, and so needs eager attention; the recorded ids are given by `HeldTokenizer`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from flashtrace import FlashTrace

from benchmarks.peers.held import HeldTokenizer, TextModel, masses_of_spans, recorded_ids
from replay.methods import AttributionTask

Float64 = npt.NDArray[np.float64]
Kind = Literal["flashtrace", "ifr-span"]
"""`flashtrace`: with one hop through the span itself, its default; `ifr-span`: without any."""


class Flash:
    """A checkpoint under FlashTrace."""

    def __init__(self, text: TextModel, kind: Kind) -> None:
        self._tokenizer, self._kind = HeldTokenizer(text.tokenizer), kind
        # It has no use for logits, whose weights are more than half of those of Gemma 3 270M.
        text.model.forward = partial(text.model.forward, logits_to_keep=1)
        self._peer: Any = FlashTrace(text.model, self._tokenizer)

    @classmethod
    def load(cls, folder: Path, kind: Kind) -> Flash:
        """The checkpoint of a folder."""
        return cls(TextModel.load(folder), kind)

    def scores(self, task: AttributionTask) -> Float64:
        """(K, m): the flow, in sum over a unit."""
        trace, ids = task.trace, recorded_ids(task.trace)
        rows = []
        for span in task.spans:
            start, end = (trace.n + step for step in span.steps)
            found = self._peer.trace(
                prompt=self._tokenizer.hold(ids[:start]),
                target=self._tokenizer.hold(ids[start:end]),
                method=self._kind,
            )
            rows.append(found.scores[: trace.n])
        return masses_of_spans(task, np.array(rows).reshape(len(rows), trace.n))

    def calls(self, task: AttributionTask) -> int:
        """One pass a span."""
        return len(task.spans)
