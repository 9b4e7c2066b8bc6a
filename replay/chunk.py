"""Chunking: a response cut into spans that together hold every step. Knows no unit and no score."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from omnitrace.sentences import first_visible, release_sentences
from omnitrace.timeline import Int32
from omnitrace.trace import Trace

Int64 = npt.NDArray[np.int64]

_SEMICOLONS = (";", "；")


@dataclass(frozen=True)
class Chunk:
    """A span before attribution: steps and characters of the response, both half-open."""

    steps: tuple[int, int]
    start: int
    end: int


def chunk(trace: Trace, chunker: str, window: int = 16) -> list[Chunk]:
    """The spans C_k of `trace.response` (paper §3.2); none if there are no steps, never empty ones.

    A step belongs to the sentence in which its first non-space character lies, or else to the one
    before; a step that wrote no such character stays with the step before it. What comes before
    the first sentence belongs to it. A span's characters are those of its steps, trimmed.

    - `sentence`: the recorded sentences; `response`: all steps;
    - `release`: those cut at newlines too, bare list markers joined to what follows;
    - `clause`: those cut into clauses too (`clause_starts`);
    - `window`: every `window` steps, whatever they say.
    """
    if not trace.T:
        return []
    bounds = [0, *_cuts(trace, chunker, window).tolist(), trace.T]
    return [_chunk(trace, *steps) for steps in pairwise(bounds)]


def _cuts(trace: Trace, chunker: str, window: int) -> Int64:
    """The steps with which the second and later spans begin, ascending."""
    if chunker == "window":
        return np.arange(window, trace.T, window)
    sentence = _sentence_of_steps(trace, chunker)
    begins = np.diff(sentence, prepend=sentence[:1]) > 0
    if chunker == "clause":
        begins[clause_starts(trace, np.flatnonzero(begins))] = True
    return np.flatnonzero(begins)


def clause_starts(trace: Trace, sentences: Int64) -> list[int]:
    """The steps within sentences with which a new clause begins.

    `sentences`: the steps with which the second and later sentences begin. A clause begins with
    the first visible step after one that ends in a semicolon; and with a coordinating conjunction
    (CCONJ, of a run of them the first) that has a verb (VERB or AUX) on either side: before it,
    since the last clause began, and after it, before the next conjunction, semicolon or sentence.
    So "Salt and pepper are cheap" stays whole, and "It rains and the sun shines" does not.
    """
    joins, stops = _conjunctions(trace), {*_after_semicolons(trace), *sentences.tolist()}
    marks = sorted({*joins, *stops})
    verbs = np.flatnonzero(np.isin(trace.pos, ("VERB", "AUX")))
    starts, begun = [], 0
    for mark, following in pairwise([*marks, trace.T]):
        if mark not in stops and not (
            _any_within(verbs, begun, mark) and _any_within(verbs, mark, following)
        ):
            continue
        starts.append(mark)
        begun = mark
    return starts


def _conjunctions(trace: Trace) -> list[int]:
    joins = np.array(trace.pos) == "CCONJ"
    first = joins & ~np.concatenate([[False], joins[:-1]])
    found: list[int] = np.flatnonzero(first).tolist()
    return found


def _after_semicolons(trace: Trace) -> list[int]:
    """The first visible steps after those whose last visible character is a semicolon."""
    visible = np.flatnonzero(first_visible(trace.response, trace.chars) >= 0)
    ends = [trace.response[a:b].rstrip()[-1:] for a, b in trace.chars[visible].tolist()]
    return [int(step) for end, step in zip(ends, visible[1:], strict=False) if end in _SEMICOLONS]


def _any_within(steps: Int64, first: int, last: int) -> bool:
    """Whether one of `steps`, ascending, lies in [first, last)."""
    low, high = np.searchsorted(steps, (first, last))
    return bool(high > low)


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
