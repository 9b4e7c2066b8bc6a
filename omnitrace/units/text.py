"""Text units: which tokens are in which piece of text; and the request.

Knows the text parts of a prompt; no media.
"""

from __future__ import annotations

import re

import numpy as np

from omnitrace.arrays import Bool, Int32
from omnitrace.prompt import Prompt
from omnitrace.sentences import containing, first_visible
from omnitrace.timeline import Modality
from omnitrace.units.config import UnitConfig
from omnitrace.units.data import Cut, Kind
from omnitrace.units.pieces import TEXT_UNITS, Pieces, messages

_QUESTION = ("?", "？", "؟")
_ASKING = re.compile(
    r"\s*(?:please,?\s+)?(?:answer|choose|compare|count|describe|explain|find|give|identify|list|name|"
    r"pick|report|say|select|sum|summari[sz]e|tell|transcribe|translate|write)\b",
    re.IGNORECASE,
)


def cut_text(cut: Cut, prompt: Prompt, config: UnitConfig, pieces: Pieces) -> None:
    """A token belongs to the piece in which its first non-space character lies."""
    line = prompt.timeline
    piece = containing(places(prompt), pieces.ranges)
    tokens = text_tokens(prompt) & (piece >= 0)
    left_out = TEXT_UNITS[config.text].left_out
    if left_out is not None:
        tokens &= ~left_out(prompt)
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
    message = messages(prompt)
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
