"""What each prompt token is: the text of which content part, which patch, which second.

Helpers that adapters share; they fill a blank timeline in place. Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Int32, Modality, Timeline
from recorder.offsets import Decode, decode_with_offsets
from recorder.samples import Message

Indices = npt.NDArray[np.intp]
Template = Callable[[list[dict[str, Any]]], str]


def render(messages: Sequence[Message], template: Template) -> tuple[str, Int32]:
    """The prompt with one placeholder a medium, and where each text part lies in it, (texts, 2).

    The template is rendered once with marks instead of texts, which tells its own characters from
    the user's however alike they look.
    """
    texts = [part.text for message in messages for part in message.parts if part.path is None]
    marks = iter(range(len(texts)))
    frame = template(_chat(messages, lambda _: f"\ue000{next(marks)}\ue001"))
    literals = re.split("\ue000[0-9]+\ue001", frame)
    prompt = template(_chat(messages, str))
    if len(literals) != len(texts) + 1 or prompt != _weave(literals, texts):
        raise OmniTraceError(
            "the model's chat template changes or drops the texts of the messages; "
            "such a template cannot be traced."
        )
    lengths = np.array([[len(a), len(b)] for a, b in zip(literals, texts, strict=False)])
    ends = np.cumsum(lengths.reshape(-1))[1::2]
    starts = ends - [len(text) for text in texts]
    return prompt, np.stack([starts, ends], axis=1).astype(np.int32).reshape(-1, 2)


def _weave(literals: Sequence[str], texts: Sequence[str]) -> str:
    return "".join(a + b for a, b in zip(literals, [*texts, ""], strict=True))


def _chat(messages: Sequence[Message], say: Callable[[str], str]) -> list[dict[str, Any]]:
    """The messages as transformers' templates take them; media by their kind alone."""
    return [
        {
            "role": message.role,
            "content": [
                {"type": "text", "text": say(part.text)}
                if part.path is None
                else {"type": part.kind, part.kind: "medium"}
                for part in message.parts
            ],
        }
        for message in messages
    ]


def text_of_tokens(offsets: Int32, spans: Int32) -> Int32:
    """(m,) int32: which of `spans` (texts, 2) each token's characters lie in; -1 for none.

    A token that touches two spans belongs to the first; empty spans own nothing.
    """
    owner = np.full(len(offsets), -1, np.int32)
    for index in reversed(range(len(spans))):
        start, end = spans[index]
        owner[(offsets[:, 0] < end) & (offsets[:, 1] > start)] = index
    return owner


def place_texts(
    timeline: Timeline, ids: Int32, texts: Mapping[int, Indices], decode: Decode
) -> str:
    """Fill in the tokens of each text part, in order; returns the text that they say."""
    said = ""
    for part, tokens in texts.items():
        text, chars = decode_with_offsets(ids[tokens].tolist(), decode)
        timeline.modality[tokens] = Modality.TEXT
        timeline.part[tokens] = part
        timeline.chars[tokens] = chars + len(said)
        said += text
    return said


def place_patches(
    timeline: Timeline, tokens: Indices, grid: tuple[int, int, int], modality: Modality
) -> None:
    """Fill in picture or film tokens laid out frame by frame, row by row, on `grid` (t, h, w)."""
    frame, row, column = np.unravel_index(np.arange(len(tokens)), grid)
    timeline.modality[tokens] = modality
    timeline.frame[tokens] = frame
    timeline.row[tokens] = row
    timeline.column[tokens] = column


def place_seconds(
    timeline: Timeline,
    tokens: Indices,
    starts: npt.NDArray[np.float64],
    length: float,
    duration: float,
) -> None:
    """Fill in the interval of each token: `length` seconds from its start, within the medium."""
    timeline.start_s[tokens] = starts
    timeline.end_s[tokens] = np.minimum(starts + length, duration)
