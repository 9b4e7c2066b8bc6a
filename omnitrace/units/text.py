"""Text units: the pieces of a prompt's text, and which tokens are in which.

A new kind of text units is a function from a prompt to `Pieces`, and a line in `TEXT_UNITS`. Knows
the text parts of a prompt; no media.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Bool, Int32
from omnitrace.prompt import Prompt
from omnitrace.sentences import containing, first_visible, release_sentences
from omnitrace.timeline import Modality
from omnitrace.units.data import Cut, Kind, Pieces

_RELEASE_SKIPS = np.array([ord(mark) for mark in "\n!\"#$%&'()*+,-./"], np.uint32)
_PARAGRAPH = re.compile(r"\S(?:(?!\n[^\S\n]*\n)[\s\S])*")
_CLAUSE_END = re.compile(r"[,;:](?=\s)|[，、；：]|(?<!\S)(?=(?:and|or|but)\s)", re.IGNORECASE)


def cut_text(cut: Cut, prompt: Prompt, units: TextUnits, pieces: Pieces) -> None:
    """A token belongs to the piece in which its first non-space character lies."""
    line = prompt.timeline
    piece = containing(places(prompt), pieces.ranges)
    tokens = text_tokens(prompt) & (piece >= 0)
    if units.left_out is not None:
        tokens &= ~units.left_out(prompt)
    cut.put(tokens, Kind.TEXT, pieces.group[line.part[tokens]], piece[tokens].astype(np.int64))


def text_tokens(prompt: Prompt) -> Bool:
    """(n,): the text tokens of content parts."""
    tokens: Bool = (prompt.timeline.modality == Modality.TEXT) & (prompt.timeline.part >= 0)
    return tokens


def places(prompt: Prompt) -> Int32:
    """(n,) int32: the character of the prompt's text at which each token counts as lying: its
    first that is no space, of a blank token its first."""
    visible = first_visible(prompt.prompt_text, prompt.timeline.chars)
    return np.where(visible < 0, prompt.timeline.chars[:, 0], visible).astype(np.int32)


def text_bounds(prompt: Prompt, pieces: Pieces, left_out: Bool) -> list[tuple[int, int]]:
    """The characters of each group's tokens but those left out, (parts,) half-open."""
    line = prompt.timeline
    words = text_tokens(prompt) & ~left_out
    low = np.full(len(prompt.parts), len(prompt.prompt_text))
    high = np.zeros(len(prompt.parts), np.int64)
    group = pieces.group[line.part[words]]
    np.minimum.at(low, group, line.chars[words, 0])
    np.maximum.at(high, group, line.chars[words, 1])
    return list(zip(low.tolist(), high.tolist(), strict=True))


def sentences(prompt: Prompt) -> Pieces:
    """The recorded sentences of each part."""
    return _in_parts(prompt, prompt.prompt_sentences)


def sentences_of_release(prompt: Prompt) -> Pieces:
    """Those as the paper's released code cuts them."""
    return _in_parts(prompt, release_sentences(prompt.prompt_text, prompt.prompt_sentences))


def clauses_of_sentences(prompt: Prompt) -> Pieces:
    """The clauses of the recorded sentences."""
    return _in_parts(prompt, clauses(prompt.prompt_text, prompt.prompt_sentences))


def paragraphs(prompt: Prompt) -> Pieces:
    """What stands between blank lines."""
    spans = [match.span() for match in _PARAGRAPH.finditer(prompt.prompt_text)]
    return _in_parts(prompt, np.array(spans, np.int32).reshape(-1, 2))


def parts(prompt: Prompt) -> Pieces:
    """All text of each part."""
    return _in_parts(prompt, _whole(prompt))


def turns(prompt: Prompt) -> Pieces:
    """All text of each message."""
    return Pieces(_whole(prompt), messages(prompt))


def clauses(text: str, sentences: Int32) -> Int32:
    """The `sentences` (K, 2) of `text` cut into clauses, (K', 2) int32, white space trimmed.

    A clause ends after a comma, semicolon or colon before white space (after those of Chinese and
    Japanese always), and before the words and, or, but. No tags of the prompt are recorded, so
    "bread and butter" is two.
    """
    found = []
    for start, end in sentences.tolist():
        cuts = [start + match.end() for match in _CLAUSE_END.finditer(text[start:end])]
        for first, last in zip([start, *cuts], [*cuts, end], strict=True):
            words = text[first:last]
            if words.strip():
                begin = first + len(words) - len(words.lstrip())
                found.append((begin, first + len(words.rstrip())))
    return np.array(found, np.int32).reshape(-1, 2)


def messages(prompt: Prompt) -> Int32:
    """(parts,) int32: the first part of each part's message, neighbours of one role being one."""
    first: list[int] = []
    for index, part in enumerate(prompt.parts):
        same_message = index > 0 and prompt.parts[index - 1].role == part.role
        first.append(first[-1] if same_message else index)
    return np.array(first, np.int32)


def _in_parts(prompt: Prompt, ranges: Int32) -> Pieces:
    return Pieces(ranges, np.arange(len(prompt.parts), dtype=np.int32))


def _whole(prompt: Prompt) -> Int32:
    return np.array([[0, len(prompt.prompt_text)]], np.int32)


def _skipped_by_release(prompt: Prompt) -> Bool:
    """Tokens that are one newline or one ASCII mark: the release counts them as special."""
    chars = prompt.timeline.chars
    codes = np.frombuffer(prompt.prompt_text.encode("utf-32-le", "surrogatepass"), np.uint32)
    mark = np.append(np.isin(codes, _RELEASE_SKIPS), False)
    skipped: Bool = (chars[:, 1] - chars[:, 0] == 1) & mark[np.minimum(chars[:, 0], len(codes))]
    return skipped


@dataclass(frozen=True)
class TextUnits:
    """An entry of the registry: `pieces`, and the tokens (n,) that are left out of them."""

    help: str
    pieces: Callable[[Prompt], Pieces]
    left_out: Callable[[Prompt], Bool] | None = None


TEXT_UNITS: dict[str, TextUnits] = {
    "sentence": TextUnits("recorded sentences", sentences),
    "release": TextUnits(
        "the release's (cut at newlines, bare list markers join what follows, lone ASCII marks "
        "left out)",
        sentences_of_release,
        _skipped_by_release,
    ),
    "clause": TextUnits(
        "clauses of sentences (cut after , ; : and before and, or, but)", clauses_of_sentences
    ),
    "paragraph": TextUnits("paragraphs (cut at blank lines)", paragraphs),
    "part": TextUnits("whole content parts", parts),
    "turn": TextUnits("turns (all text of a message)", turns),
}
