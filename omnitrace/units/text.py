"""Text units: sentences, clauses, paragraphs, parts, turns; and the request.

Knows the text parts of a prompt; no media.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Bool, Int32
from omnitrace.prompt import Prompt
from omnitrace.sentences import containing, first_visible, release_sentences
from omnitrace.timeline import Modality
from omnitrace.units.config import UnitConfig
from omnitrace.units.data import Cut, Kind

_RELEASE_SKIPS = np.array([ord(mark) for mark in "\n!\"#$%&'()*+,-./"], np.uint32)
_PARAGRAPH = re.compile(r"\S(?:(?!\n[^\S\n]*\n)[\s\S])*")
_CLAUSE_END = re.compile(r"[,;:](?=\s)|[，、；：]|(?<!\S)(?=(?:and|or|but)\s)", re.IGNORECASE)
_QUESTION = ("?", "？", "؟")
_ASKING = re.compile(
    r"\s*(?:please,?\s+)?(?:answer|choose|compare|count|describe|explain|find|give|identify|list|name|"
    r"pick|report|say|select|sum|summari[sz]e|tell|transcribe|translate|write)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Pieces:
    """Text units before tokens: `ranges` (K, 2) int32 characters of the prompt's text, ascending
    and disjoint; `group` (parts,) int32: parts of one group may share a unit, each is the first
    part of its group."""

    ranges: Int32
    group: Int32


def pieces_of(prompt: Prompt, text: str) -> Pieces:
    """How `text` cuts the prompt's text. A piece ends with its part, of `turn` with its message."""
    apart = np.arange(len(prompt.parts), dtype=np.int32)
    if text in ("part", "turn"):
        whole = np.array([[0, len(prompt.prompt_text)]], np.int32)
        return Pieces(whole, _messages(prompt) if text == "turn" else apart)
    return Pieces(_ranges(prompt.prompt_text, prompt.prompt_sentences, text), apart)


def _ranges(text: str, sentences: Int32, cut: str) -> Int32:
    if cut == "release":
        return release_sentences(text, sentences)
    if cut == "clause":
        return clauses(text, sentences)
    if cut == "paragraph":
        return np.array([m.span() for m in _PARAGRAPH.finditer(text)], np.int32).reshape(-1, 2)
    return sentences


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


def _messages(prompt: Prompt) -> Int32:
    """(parts,) int32: the first part of each part's message, neighbours of one role being one."""
    first: list[int] = []
    for index, part in enumerate(prompt.parts):
        goes_on = index > 0 and prompt.parts[index - 1].role == part.role
        first.append(first[-1] if goes_on else index)
    return np.array(first, np.int32)


def cut_text(cut: Cut, prompt: Prompt, config: UnitConfig, pieces: Pieces) -> None:
    """A token belongs to the piece in which its first non-space character lies."""
    line = prompt.timeline
    piece = containing(places(prompt), pieces.ranges)
    tokens = text_tokens(prompt) & (piece >= 0)
    if config.text == "release":
        tokens &= ~_skipped_by_release(prompt)
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


def _skipped_by_release(prompt: Prompt) -> Bool:
    """Tokens that are one newline or one ASCII mark: the release counts them as special."""
    chars = prompt.timeline.chars
    codes = np.frombuffer(prompt.prompt_text.encode("utf-32-le", "surrogatepass"), np.uint32)
    mark = np.append(np.isin(codes, _RELEASE_SKIPS), False)
    skipped: Bool = (chars[:, 1] - chars[:, 0] == 1) & mark[np.minimum(chars[:, 0], len(codes))]
    return skipped


def request_tokens(prompt: Prompt) -> Bool:
    """(n,): the text tokens of the request: of the sentences that ask, in the first and in the last
    text part of the last user message.

    A sentence asks if it ends in a question mark or begins, after "please", with a verb that tells
    the model what to do (English; `_ASKING`). Options that stand between or after are not it.
    """
    asks = np.array([_asks(prompt.prompt_text[a:b]) for a, b in prompt.prompt_sentences.tolist()])
    sentence = containing(places(prompt), prompt.prompt_sentences)
    asking = np.append(asks, False).astype(np.bool_)[sentence]
    tokens: Bool = (
        text_tokens(prompt) & np.isin(prompt.timeline.part, _outer_parts(prompt)) & asking
    )
    return tokens


def _asks(sentence: str) -> bool:
    return sentence.rstrip().endswith(_QUESTION) or bool(_ASKING.match(sentence))


def _outer_parts(prompt: Prompt) -> list[int]:
    """The first and the last text part of the last user message."""
    users = [index for index, part in enumerate(prompt.parts) if part.role == "user"]
    message = _messages(prompt)
    texts = [
        i for i in users if message[i] == message[users[-1]] and prompt.parts[i].kind == "text"
    ]
    return [texts[0], texts[-1]] if texts else []


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
