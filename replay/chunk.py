"""Chunking: a response, or its thinking or answer alone, cut into spans that together hold every
step; and the registry of chunkers. Knows no unit and no score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from omnitrace.arrays import Bool, Int64
from omnitrace.sentences import first_visible
from omnitrace.trace import Trace
from replay import span_starts


@dataclass(frozen=True)
class Chunker:
    """An entry of the registry; `starts`: as the functions of `replay.span_starts`."""

    help: str
    starts: Callable[[Trace, Int64, int], Int64]


CHUNKERS: dict[str, Chunker] = {
    "sentence": Chunker("recorded sentences", span_starts.recorded_sentences),
    "release": Chunker(
        "the release's (cut at newlines, list markers joined)", span_starts.sentences_of_release
    ),
    "clause": Chunker(
        "clauses of sentences, cut at conjunctions and semicolons", span_starts.clauses
    ),
    "window": Chunker("windows of so many steps", span_starts.windows),
    "response": Chunker("the whole response", span_starts.whole_parts),
}


@dataclass(frozen=True)
class Chunk:
    """A span before attribution: steps and characters of the response, both half-open, and
    whether they are thinking."""

    steps: tuple[int, int]
    start: int
    end: int
    thinking: bool = False


def chunk(trace: Trace, chunker: str, window: int = 16, response: str = "all") -> list[Chunk]:
    """The spans C_k of `trace.response` (paper §3.2); none if there are no steps, never empty ones.

    A step belongs to the sentence in which its first non-space character lies, or else to the one
    before; a step that wrote no such character stays with the step before it. What comes before
    the first sentence belongs to it. A span's characters are those of its steps, trimmed. No span
    holds steps of both thinking and answer (`thinking_steps`); with `response` = `answer` or
    `thinking` only the spans of that part are returned, which are cut as with `all`.
    `chunker`: of `CHUNKERS`.
    """
    if not trace.T:
        return []
    thinking = thinking_steps(trace)
    borders = np.flatnonzero(np.diff(thinking, prepend=thinking[:1]))
    starts = CHUNKERS[chunker].starts(trace, borders, window)
    bounds = pairwise([0, *starts.tolist(), trace.T])
    chunks = [_chunk(trace, *steps, bool(thinking[steps[0]])) for steps in bounds]
    return [c for c in chunks if response == "all" or c.thinking == (response == "thinking")]


def thinking_steps(trace: Trace) -> Bool:
    """(T,) bool: the steps of the thinking: those whose first non-space character lies in
    `trace.thinking`. A step without one stays with the step before it, at the beginning with the
    step after it. Raises SampleError as `trace.thinking` does."""
    if (thinking := trace.thinking) is None:
        return np.zeros(trace.T, np.bool_)
    visible = first_visible(trace.response, trace.chars)
    seen = visible[visible >= 0]
    position = np.maximum(np.maximum.accumulate(visible), seen[0] if len(seen) else 0)
    inside: Bool = (thinking[0] <= position) & (position < thinking[1])
    return inside


def _chunk(trace: Trace, first: int, last: int, thinking: bool) -> Chunk:
    start, end = (int(edge) for edge in (trace.chars[first, 0], trace.chars[last - 1, 1]))
    text = trace.response[start:end]
    begin, end = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
    return Chunk((first, last), begin, end, thinking)
