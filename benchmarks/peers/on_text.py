"""Peers that take a text model: inseq, and ContextCite with its own ablations.

Both load a checkpoint, or the exported thinker, from a folder by transformers' Auto classes and get
the prompt as the model's chat template made it, and the recorded answer. Knows no other modality.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import inseq
import numpy as np
import numpy.typing as npt
from context_cite import ContextCiter
from context_cite.context_partitioner import BaseContextPartitioner
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.peers.held import aligned, recorded_ids
from benchmarks.peers.text_model import AS_IT_IS
from omnitrace.errors import OmniTraceError
from replay.methods import AttributionTask

Bool = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

ABLATIONS = 64
"""ContextCite's own default."""


def asked_by_inseq(folder: Path, method: str) -> Callable[[AttributionTask], Float64]:
    """inseq's `method`: (K, m), its scores of tokens in sum over units, in mean over steps."""
    model = inseq.load_model(str(folder), method)

    def ask(task: AttributionTask) -> Float64:
        trace, decode = task.trace, model.tokenizer.decode
        prompt, answer = decode(trace.prompt_ids.tolist()), decode(trace.response_ids.tolist())
        _refuse_other_tokens(task, model.tokenizer, prompt + answer)
        found = model.attribute(prompt, prompt + answer, show_progress=False)
        sequence, recorded = found.sequence_attributions[0], recorded_ids(trace)
        scores = sequence.aggregate().target_attributions.double().nan_to_num().numpy()
        rows = aligned(scores, [token.id for token in sequence.target], recorded)
        return units_of_tokens(task, rows[: trace.n].T)

    return ask


def units_of_tokens(task: AttributionTask, scores: npt.NDArray[np.floating[Any]]) -> Float64:
    """(K, m) from (T, n): in sum over the tokens of a unit, in mean over the steps of a span."""
    owner = task.units.owner_of_tokens(task.trace.n)
    member = owner[:, None] == np.arange(len(task.units))
    steps = task.steps.astype(np.float64)
    of_units: Float64 = steps @ scores @ member / steps.sum(axis=1, keepdims=True).clip(1)
    return of_units


def asked_by_context_cite(
    folder: Path, batch: int = ABLATIONS
) -> Callable[[AttributionTask], Float64]:
    """ContextCite itself, `batch` of its ablations at a time: it takes units out of the text,
    scores the recorded answer and solves: (K, m)."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side, tokenizer.chat_template = "left", AS_IT_IS

    def ask(task: AttributionTask) -> Float64:
        trace, pieces = task.trace, Pieces(task, tokenizer.decode)
        answer = tokenizer.decode(trace.response_ids.tolist())
        _refuse_other_tokens(task, tokenizer, pieces.context + answer)
        citer = Held(
            model,
            tokenizer,
            pieces.context,
            query="",
            num_ablations=ABLATIONS,
            batch_size=batch,
            prompt_template="{context}{query}",
            partitioner=pieces,
        )
        citer.answer = answer
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")  # it asks for autocast on a GPU, which is not there
            rows = [citer.get_attributions(s.start, s.end, verbose=False) for s in task.spans]
        return np.array(rows, np.float64).reshape(len(rows), len(task.units))

    return ask


class Held(ContextCiter):  # type: ignore[misc]  # its package has no types
    """ContextCite of an answer that was given: 0.0.4 knows only those that it generates."""

    answer = ""

    @property
    def _output(self) -> str:
        return str(self.partitioner.context) + self.answer


class Pieces(BaseContextPartitioner):  # type: ignore[misc]  # its package has no types
    """The whole prompt as ContextCite's context; its sources are our units, the rest stays."""

    def __init__(self, task: AttributionTask, decode: Callable[[list[int]], str]) -> None:
        ids, n = task.trace.prompt_ids, task.trace.n
        owner = task.units.owner_of_tokens(n)
        cuts = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), n]
        self._texts = [decode(ids[a:b].tolist()) for a, b in pairwise(cuts)]
        self._owner = [int(owner[start]) for start in cuts[:-1]]
        self._sources = len(task.units)
        super().__init__("".join(self._texts))

    @property
    def num_sources(self) -> int:
        return self._sources

    def split_context(self) -> None:
        """Nothing is left to do."""

    def get_source(self, index: int) -> str:
        return "".join(self._of(lambda unit: unit == index))

    def get_context(self, mask: Bool | None = None) -> str:
        return "".join(self._of(lambda unit: mask is None or unit < 0 or bool(mask[unit])))

    def _of(self, wanted: Callable[[int], bool]) -> list[str]:
        return [t for t, unit in zip(self._texts, self._owner, strict=True) if wanted(unit)]


def _refuse_other_tokens(task: AttributionTask, tokenizer: Any, text: str) -> None:
    recorded = [*task.trace.prompt_ids.tolist(), *task.trace.response_ids.tolist()]
    if tokenizer(text, add_special_tokens=False)["input_ids"] != recorded:
        raise OmniTraceError(f"sample '{task.trace.id}': its text has other tokens.")
