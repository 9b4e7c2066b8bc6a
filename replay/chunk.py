"""Chunking: a response cut into spans that together hold every step. Knows no unit and no score."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from omnitrace.sentences import first_visible, release_sentences
from omnitrace.timeline import Int32
from omnitrace.trace import Trace


@dataclass(frozen=True)
class Chunk:
    """A span before attribution: steps and characters of the response, both half-open."""

    steps: tuple[int, int]
    start: int
    end: int


def chunk(trace: Trace, chunker: str) -> list[Chunk]:
    """The spans C_k of `trace.response` (paper §3.2); none if there are no steps, never empty ones.

    A step belongs to the sentence in which its first non-space character lies, or else to the one
    before; a step that wrote no such character stays with the step before it. What comes before
    the first sentence belongs to it. A span's characters are those of its steps, trimmed.
    """
    if not trace.T:
        return []
    edges = np.flatnonzero(np.diff(_sentence_of_steps(trace, chunker))) + 1
    bounds = [0, *edges.tolist(), trace.T]
    return [_chunk(trace, *steps) for steps in pairwise(bounds)]


def _sentence_of_steps(trace: Trace, chunker: str) -> Int32:
    """(T,) int32, ascending: which sentence each step belongs to."""
    starts = _sentences(trace, chunker)[:, 0]
    visible = first_visible(trace.response, trace.chars)
    number = np.searchsorted(starts, np.maximum.accumulate(visible), side="right") - 1
    return np.maximum(number, 0).astype(np.int32)


def _sentences(trace: Trace, chunker: str) -> Int32:
    if chunker == "response":
        return np.empty((0, 2), np.int32)
    if chunker == "release":
        return release_sentences(trace.response, trace.sentences)
    return trace.sentences


def _chunk(trace: Trace, first: int, last: int) -> Chunk:
    start, end = (int(edge) for edge in (trace.chars[first, 0], trace.chars[last - 1, 1]))
    text = trace.response[start:end]
    return Chunk((first, last), start + len(text) - len(text.lstrip()), start + len(text.rstrip()))
