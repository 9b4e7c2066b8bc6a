"""Sentences as character ranges: which token is in which, and how the paper's release cuts them.

Shared by source units (prompt) and spans (response). Knows no trace and no model; finding the
sentences is the recorder's work.
"""

from __future__ import annotations

import re

import numpy as np

from omnitrace.arrays import Int32

_SPACES = np.array([code for code in range(0x3001) if chr(code).isspace()], np.uint32)
_LINE = re.compile(r"\S(?:[^\n]*\S)?")
_BARE_MARKER = re.compile(r"(?:\d+|[a-zA-Z])\.")


def first_visible(text: str, chars: Int32) -> Int32:
    """Position of the first non-space character in each half-open range of `chars` (n, 2).

    Returns (n,) int32, -1 where a range holds no such character.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    visible = np.append(np.flatnonzero(~np.isin(codes, _SPACES)), len(codes))
    first = visible[np.searchsorted(visible, chars[:, 0])]
    return np.where(first < chars[:, 1], first, -1).astype(np.int32)


def containing(positions: Int32, ranges: Int32) -> Int32:
    """(n,) int32: the index of the range that holds each position, -1 for none.

    `ranges` (K, 2) are ascending, disjoint and half-open.
    """
    if not len(ranges):
        return np.full(len(positions), -1, np.int32)
    index = np.searchsorted(ranges[:, 0], positions, side="right") - 1
    inside = (index >= 0) & (positions < ranges[index, 1])
    return np.where(inside, index, -1).astype(np.int32)


def release_sentences(text: str, sentences: Int32) -> Int32:
    """The `sentences` (K, 2) of `text` as the paper's released code would cut them: (K', 2).

    Cut at newlines, white space trimmed; a bare list marker ("1.", "a.") is joined to what
    follows it, once.
    """
    lines = [
        (start + line.start(), start + line.end())
        for start, end in sentences.tolist()
        for line in _LINE.finditer(text[start:end])
    ]
    joined: list[tuple[int, int]] = []
    pieces = iter(lines)
    for start, end in pieces:
        if _BARE_MARKER.fullmatch(text[start:end]):
            _, end = next(pieces, (start, end))
        joined.append((start, end))
    return np.array(joined, np.int32).reshape(-1, 2)
