"""Chunking: a response, or its thinking or answer alone, cut into spans that together hold every
step. Knows no unit and no score."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from omnitrace.arrays import Bool, Int32, Int64
from omnitrace.sentences import first_visible, release_sentences
from omnitrace.trace import Trace

_SEMICOLONS = (";", "；")


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

    - `sentence`: the recorded sentences; `response`: all steps;
    - `release`: those cut at newlines too, bare list markers joined to what follows;
    - `clause`: those cut into clauses too (`clause_starts`);
    - `window`: every `window` steps of a part, whatever they say.
    """
    if not trace.T:
        return []
    thinking = thinking_steps(trace)
    borders = np.flatnonzero(np.diff(thinking, prepend=thinking[:1]))
    bounds = [0, *_cuts(trace, chunker, window, borders).tolist(), trace.T]
    pieces = [_chunk(trace, *steps, bool(thinking[steps[0]])) for steps in pairwise(bounds)]
    return [p for p in pieces if response == "all" or p.thinking == (response == "thinking")]


def thinking_steps(trace: Trace) -> Bool:
    """(T,) bool: the steps of the thinking: those whose first non-space character lies in
    `trace.thinking`. A step without one stays with the step before it, at the beginning with the
    step after it. OmniTraceError as of `trace.thinking`."""
    if (found := trace.thinking) is None:
        return np.zeros(trace.T, np.bool_)
    visible = first_visible(trace.response, trace.chars)
    seen = visible[visible >= 0]
    position = np.maximum(np.maximum.accumulate(visible), seen[0] if len(seen) else 0)
    inside: Bool = (found[0] <= position) & (position < found[1])
    return inside


def _cuts(trace: Trace, chunker: str, window: int, borders: Int64) -> Int64:
    """The steps with which the second and later spans begin, ascending; `borders`: those with
    which another part of the response begins."""
    if chunker == "window":
        parts = pairwise([0, *borders.tolist(), trace.T])
        return np.concatenate([np.arange(*part, window) for part in parts])[1:]
    sentence = _sentence_of_steps(trace, chunker)
    begins = np.diff(sentence, prepend=sentence[:1]) > 0
    begins[borders] = True
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


def _chunk(trace: Trace, first: int, last: int, thinking: bool) -> Chunk:
    start, end = (int(edge) for edge in (trace.chars[first, 0], trace.chars[last - 1, 1]))
    text = trace.response[start:end]
    begin, end = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
    return Chunk((first, last), begin, end, thinking)
