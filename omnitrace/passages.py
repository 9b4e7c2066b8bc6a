"""Passages: the stretches of a text within which sentences are found, line breaks included.

A passage is a block of the Markdown, or a part of one that ends where its author began a new line
on purpose (a line of verse, of an address, of a dialogue), not where a line was full. Knows
blocks and lines; no sentence rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from omnitrace.markdown import Block, Range, blocks

BREAKS = "\n\v\f\r\x1c-\x1e\x85\u2028\u2029"
"""What ends a line, as the inside of a regular expression's set."""

_LINES = re.compile(rf"[^{BREAKS}]+")
_PREFIX = re.compile(r"\A(?:>[ \t]*)+")
_FIRST_WORD = re.compile(r"\S+")
_ENDS = re.compile(r"[.!?…:;。！？：；।۔؟][\s\"'”’»)\]*_]*\Z")
_LEFT_OPEN = re.compile(r"[\w,(–—-]\Z")
_GOES_ON = re.compile(r"[\"'“‘(\[*_`]*[^\W\d_A-Z]")
_QUOTED = re.compile(r"[\"”»“][*_]*\Z")
_SOURCE = re.compile(r"[—–]\s?\w")
_HARD = re.compile(r"(?:  |\\)\Z")
_OPTION = re.compile(
    r"(?:[-+*•]\s+|\d{1,3}[.)]\s+)?(?:\*\*|__)?(?:\((?P<a>[A-Ha-h])\)|(?P<b>[A-Ha-h])[.)])(?=[\s*_])"
)
_REFERENCE = re.compile(r"\[(?:\d{1,3}|\^[^\]\s]{1,30})\]:?\s")
_MARKED = re.compile(
    r"[•‣◦▪–—+*-]\s|\d{1,3}[.)]\s|\(?[A-Ha-h][.)]\s|\[(?:\d{1,3}|\^[^\]\s]{1,30})\]:?\s|"
    r"\$\$|\\\[|</?\w+>\s*\Z"
)
_APART = re.compile(r"</?\w+>|(?:\*\*|__)[^*_]+(?:\*\*|__):?|.*(?:\$\$|\\\])")
_WIDTHS = range(40, 141)
_ALONE = 50  # a line as long as this may be full, even where no other line shows the width


@dataclass(frozen=True)
class Passage:
    """Characters of a text, half-open; `whole`: it is one sentence, whatever is in it."""

    start: int
    end: int
    kind: str
    whole: bool = False


@dataclass(frozen=True)
class _Line:
    start: int
    end: int
    text: str  # without the marks of a quotation
    width: int  # characters from the line's beginning
    hard: bool  # ends in what Markdown reads as a line break


def passages(text: str) -> list[Passage]:
    """The passages of `text` in order: disjoint, and with every visible character in one of them.

    A heading, a row of a table, a block of code, an option of several in a row ("(A) …", "(B) …")
    and an entry of a list of references ("[1] …") are whole.
    """
    found: list[Passage] = []
    cut = [(block, list(_lines_of(text, block))) for block in blocks(text)]
    width = _usual_width([lines for block, lines in cut if _flows(block)])
    for block, lines in cut:
        if not _flows(block):
            found.append(Passage(block.start, block.end, block.kind, whole=True))
            continue
        for start, end in _joined(lines, width):
            reference = bool(_REFERENCE.match(text, start, end))
            found.append(Passage(start, end, block.kind, reference))
    return _with_options(text, found)


def joined_lines(text: str, found: list[Passage]) -> str:
    """`text`, as long as before, in which a space stands for each line break within a passage.

    Code keeps its lines.
    """
    pieces, done = [], 0
    for passage in found:
        pieces.append(text[done : passage.start])
        body, done = text[passage.start : passage.end], passage.end
        pieces.append(body if passage.kind == "code" else re.sub(f"[{BREAKS}]", " ", body))
    return "".join(pieces) + text[done:]


def _flows(block: Block) -> bool:
    return block.kind in ("paragraph", "item")


def _lines_of(text: str, block: Block) -> Iterator[_Line]:
    for line in _LINES.finditer(text, block.start, block.end):
        body = line[0].strip()
        if not body:
            continue
        start = line.start() + len(line[0]) - len(line[0].lstrip())
        end = start + len(body)
        column = start - 1 - text.rfind("\n", 0, start)
        inner = _PREFIX.sub("", body, count=1) or body
        yield _Line(start, end, inner, column + len(body), bool(_HARD.search(line[0])))


def _joined(lines: list[_Line], width: int) -> Iterator[Range]:
    """The lines of a block, (start, end), each with those that go on with it."""
    wrapped = _wrapped(lines, width)
    start = lines[0].start
    for line, following in pairwise(lines):
        if not _goes_on(line, following, wrapped):
            yield start, line.end
            start = following.start
    yield start, lines[-1].end


def _goes_on(line: _Line, following: _Line, wrapped: bool) -> bool:
    """Whether the sentences of a line may go on in the next one."""
    if _QUOTED.search(line.text) and _SOURCE.match(following.text):
        return True
    if line.hard or _MARKED.match(following.text) or _APART.fullmatch(line.text):
        return False
    if wrapped:
        return True
    lower = bool(_GOES_ON.match(following.text)) and not _ENDS.search(line.text)
    return lower and line.width >= _WIDTHS.start


def _wrapped(lines: list[_Line], usual: int) -> bool:
    """Whether the lines end where they were full.

    In a paragraph of two lines that shows less than in a longer one: there the first must be as
    long as lines of the text usually are, or long and left in the middle of a sentence.
    """
    if len(lines) < 2 or not _full(lines):
        return False
    if len(lines) > 2:
        return True
    first, second = lines
    if usual:
        return first.width + _next_word(second) > usual - 2
    return first.width >= _ALONE and not _ENDS.search(first.text)


def _full(lines: list[_Line]) -> bool:
    """Whether no line had room for the first word of the next."""
    width = max(line.width for line in lines)
    fits = [line.width + _next_word(following) <= width for line, following in pairwise(lines)]
    return width in _WIDTHS and not any(fits)


def _next_word(line: _Line) -> int:
    word = _FIRST_WORD.match(line.text)
    return 1 + (len(word[0]) if word else 0)


def _usual_width(of_blocks: list[list[_Line]]) -> int:
    """The width at which the text's longer paragraphs are wrapped, 0 if none is."""
    widths = [
        max(line.width for line in lines)
        for lines in of_blocks
        if len(lines) > 2 and _full(lines) and any(_open(line) for line in lines[:-1])
    ]
    return max(widths, default=0)


def _open(line: _Line) -> bool:
    return bool(_LEFT_OPEN.search(line.text))


def _with_options(text: str, found: list[Passage]) -> list[Passage]:
    """The passages, those whole that are options: neighbours that begin with a, b, … in order."""
    letters = [_letter(text, passage) for passage in found]
    option = [False] * len(found)
    for i, (letter, following) in enumerate(pairwise(letters)):
        if letter and following and ord(following) == ord(letter) + 1:
            option[i] = option[i + 1] = True
    return [
        Passage(passage.start, passage.end, passage.kind, passage.whole or whole)
        for passage, whole in zip(found, option, strict=True)
    ]


def _letter(text: str, passage: Passage) -> str:
    found = _OPTION.match(text, passage.start, passage.end)
    return (found["a"] or found["b"]).lower() if found else ""
