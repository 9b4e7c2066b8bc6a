"""Where spans begin: the functions that the registry of chunkers names. Knows no unit, no score.

Each takes a trace, `borders` (k,) int64, the steps with which another part of the response begins,
and the window of the configuration. It returns the steps with which the second and later spans
begin, int64, ascending, the borders among them.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from omnitrace.arrays import Int32, Int64
from omnitrace.sentences import first_visible, release_sentences
from omnitrace.trace import Trace

_SEMICOLONS = (";", "；")


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
