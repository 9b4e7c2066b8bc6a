"""The blocks of a Markdown text as character ranges; what is written in a block is not read.

CommonMark and its tables, without what real answers seldom mean: a line of hyphens under a
paragraph makes no heading of it, and HTML is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

Range = tuple[int, int]

_BREAK = re.compile(r"\r\n?|\n")
_WHOLE = {"heading_open": "heading", "tr_open": "row", "fence": "code", "code_block": "code"}


@dataclass(frozen=True)
class Block:
    """The characters of a block, half-open, without blank lines at the ends.

    `kind`: `heading`, `row` (of a table), `code`, `item` (the first paragraph of a list item, its
    marker included) or `paragraph`; lines that are none of these (rules, the second line of a
    table, empty list items) are paragraphs of their own.
    """

    start: int
    end: int
    kind: str


def blocks(text: str) -> list[Block]:
    """The blocks of `text` in order: disjoint, and with every visible character in one of them."""
    lines = _lines(text)
    kinds = ["paragraph"] * len(lines)
    first_lines = set(range(len(lines)))
    tokens = _parser().parse(text)
    for before, token in zip([None, *tokens], tokens, strict=False):
        if (kind := _kind(before, token)) and token.map:
            first, after = token.map
            kinds[first] = kind
            first_lines -= set(range(first + 1, after))
    starts = sorted(first_lines)
    found = []
    for line, following in zip(starts, [*starts[1:], len(lines)], strict=True):
        start, end = lines[line][0], lines[following - 1][1]
        if body := text[start:end].strip():
            start += len(text[start:end]) - len(text[start:end].lstrip())
            found.append(Block(start, start + len(body), kinds[line]))
    return found


def _kind(before: Token | None, token: Token) -> str:
    """The kind of the block that a token begins; empty if it begins none."""
    if token.type == "paragraph_open":
        return "item" if before is not None and before.type == "list_item_open" else "paragraph"
    return _WHOLE.get(token.type, "")


def _lines(text: str) -> list[Range]:
    """The lines as the parser counts them, without their ends."""
    ends = [found.span() for found in _BREAK.finditer(text)]
    starts = [0, *(after for _, after in ends)]
    return list(zip(starts, [*(end for end, _ in ends), len(text)], strict=True))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table")
    parser.disable(["reference", "html_block", "lheading"])
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser
