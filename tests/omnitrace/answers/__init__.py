"""200 answers in the style of current chat models, their sentences marked by hand.

In the text files a line `=== ID` begins an answer, and the sign ¶ stands before each sentence but
the first. The marks were set from what a reader expects, before a splitter was run. Answers are
numbered in the order of files and lines: rules were written while looking at those of odd
numbers, and figures are of those of even numbers, the held-out half.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

_BEGIN = re.compile(r"^=== ([a-z]+-\d+)\n", re.MULTILINE)
_MARK = "¶"
_BLANK = re.compile(r"[\s>]*")


@dataclass(frozen=True)
class Labelled:
    """An answer, and the characters at which its second and later sentences begin."""

    id: str
    text: str
    starts: frozenset[int]
    held_out: bool


def labelled_answers() -> list[Labelled]:
    """All answers, in the order of files and lines."""
    found: list[Labelled] = []
    for path in sorted(Path(__file__).parent.glob("*.txt")):
        _, *pieces = _BEGIN.split(path.read_text("utf-8"))
        for id, marked in zip(pieces[::2], pieces[1::2], strict=True):
            parts = marked.strip("\n").split(_MARK)
            text = "".join(parts)
            ends = list(accumulate(map(len, parts)))[:-1]
            number = len(found) + 1
            found.append(Labelled(id, text, first_words(text, ends), number % 2 == 0))
    return found


def first_words(text: str, starts: Iterable[int]) -> frozenset[int]:
    """The starts, each moved over white space and the marks of quotations ("> ")."""
    moved = (_BLANK.match(text, start) for start in starts)
    return frozenset(found.end() for found in moved if found)
