"""Chunking: a response, or its thinking or answer alone, cut into spans that together hold every
step; and the registry of chunkers. Knows no unit and no score."""

from __future__ import annotations

from collections.abc import Callable
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


def recorded_sentences(trace: Trace, borders: Int64, window: int) -> Int64:
    """With the recorded sentences."""
    return _with_sentences(trace, trace.sentences, borders)


def sentences_of_release(trace: Trace, borders: Int64, window: int) -> Int64:
    """With sentences that are cut at newlines too, bare list markers joined to what follows."""
    return _with_sentences(trace, release_sentences(trace.response, trace.sentences), borders)


def clauses(trace: Trace, borders: Int64, window: int) -> Int64:
    """With recorded sentences and the clauses in them (`clause_starts`)."""
    sentences = recorded_sentences(trace, borders, window)
    return np.union1d(sentences, np.array(clause_starts(trace, sentences), np.int64))


def windows(trace: Trace, borders: Int64, window: int) -> Int64:
    """After every `window` steps of a part, whatever they write."""
    parts = pairwise([0, *borders.tolist(), trace.T])
    return np.concatenate([np.arange(*part, window) for part in parts])[1:]


def whole_parts(trace: Trace, borders: Int64, window: int) -> Int64:
    """With the parts of the response alone."""
    return borders


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


def _with_sentences(trace: Trace, sentences: Int32, borders: Int64) -> Int64:
    """The steps with which the second and later of `sentences` (K, 2) begin, and the borders.

    A step belongs to the sentence in which its first visible character lies.
    """
    visible = first_visible(trace.response, trace.chars)
    number = np.searchsorted(sentences[:, 0], np.maximum.accumulate(visible), side="right") - 1
    number = np.maximum(number, 0)
    begins = np.diff(number, prepend=number[:1]) > 0
    begins[borders] = True
    return np.flatnonzero(begins)


def _conjunctions(trace: Trace) -> list[int]:
    joins = np.array(trace.pos) == "CCONJ"
    first = joins & ~np.concatenate([[False], joins[:-1]])
    steps: list[int] = np.flatnonzero(first).tolist()
    return steps


def _after_semicolons(trace: Trace) -> list[int]:
    """The first visible steps after those whose last visible character is a semicolon."""
    visible = np.flatnonzero(first_visible(trace.response, trace.chars) >= 0)
    ends = [trace.response[a:b].rstrip()[-1:] for a, b in trace.chars[visible].tolist()]
    return [int(step) for end, step in zip(ends, visible[1:], strict=False) if end in _SEMICOLONS]


def _any_within(steps: Int64, first: int, last: int) -> bool:
    """Whether one of `steps`, ascending, lies in [first, last)."""
    low, high = np.searchsorted(steps, (first, last))
    return bool(high > low)


@dataclass(frozen=True)
class Chunker:
    """An entry of the registry: with which steps do spans begin?

    `starts` takes a trace, the borders (k,) int64, the steps with which another part of the
    response begins, and the window. It returns the steps with which the second and later spans
    begin, int64, ascending, the borders among them.
    """

    help: str
    starts: Callable[[Trace, Int64, int], Int64]


CHUNKERS: dict[str, Chunker] = {
    "sentence": Chunker("recorded sentences", recorded_sentences),
    "release": Chunker(
        "the release's (cut at newlines, list markers joined)", sentences_of_release
    ),
    "clause": Chunker("clauses of sentences, cut at conjunctions and semicolons", clauses),
    "window": Chunker("windows of so many steps", windows),
    "response": Chunker("the whole response", whole_parts),
}
