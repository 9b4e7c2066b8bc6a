"""What each prompt token is: the text of which content part, which patch, which second.

Helpers that adapters share; they fill a blank timeline in place. Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Int32, Modality, Part, Timeline
from recorder.inputs.samples import Message
from recorder.models.offsets import Decode, decode_with_offsets

Indices = npt.NDArray[np.intp]
Fill = Callable[[list[dict[str, Any]]], str]


def parts_of(messages: Sequence[Message]) -> tuple[Part, ...]:
    """The content parts in order; media numbered as they come."""
    numbers = count()
    return tuple(
        Part(message.role, content.kind, -1 if content.path is None else next(numbers))
        for message in messages
        for content in message.parts
    )


def refuse_control_tokens(messages: Sequence[Message], tokenizer: Any) -> None:
    """OmniTraceError if a text spells a control token: it would be read as one, not as text."""
    control = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special]
    texts = [part.text for message in messages for part in message.parts]
    found = [word for word in control for text in texts if word in text]
    if found:
        raise OmniTraceError(
            f"a text of the sample contains '{found[0]}', a control token of the model; "
            "remove it or write it differently."
        )


def refuse_length(count: int, most: int) -> None:
    """OmniTraceError if a prompt of `count` tokens is more than a model takes."""
    if count > most:
        raise OmniTraceError(
            f"the prompt has {count} tokens; the model takes at most {most}: shorten it, or take "
            "fewer frames a second of its films."
        )


def render(messages: Sequence[Message], template: Fill) -> tuple[str, Int32]:
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


@dataclass(frozen=True)
class Template:
    """The rendered prompt with one placeholder a medium, tokenized apart: m tokens.

    `ids` (m,) int32; `offsets` (m, 2) int32 characters of the prompt; `holders` (m,) bool: which
    are placeholders. But for their number of tokens these are the prompt's tokens.
    """

    ids: Int32
    offsets: Int32
    holders: npt.NDArray[np.bool_]

    def spread(self, prompt_ids: Int32, widths: Sequence[int]) -> Indices:
        """(m,) where each token begins in the prompt, if the placeholders take `widths` tokens.

        OmniTraceError unless the prompt's ids are then these.
        """
        width = np.ones(len(self.ids), np.intp)
        if self.holders.sum() == len(widths):
            width[self.holders] = widths
        starts = np.cumsum(width) - width
        if width.sum() == len(prompt_ids):
            fixed = ~self.holders
            if (prompt_ids[starts[fixed]] == self.ids[fixed]).all():
                return starts
        raise OmniTraceError(
            "the processor's prompt is not its chat template with the media laid out, so its "
            "tokens cannot be placed; is the template of another model?"
        )

    def texts(self, starts: Indices, spans: Int32) -> list[Indices]:
        """The prompt tokens of each of `spans` (texts, 2), character ranges.

        A token that touches two spans belongs to the first.
        """
        owner = np.full(len(self.ids), -1)
        for index in reversed(range(len(spans))):
            first, end = spans[index]
            owner[(self.offsets[:, 0] < end) & (self.offsets[:, 1] > first)] = index
        return [starts[owner == index] for index in range(len(spans))]


def tokenize(tokenizer: Any, prompt: str, placeholders: Sequence[int]) -> Template:
    """Tokenize a rendered prompt; `placeholders` are the ids that stand for media."""
    encoded = tokenizer(prompt, return_offsets_mapping=True)
    ids = np.array(encoded["input_ids"], np.int32)
    offsets = np.array(encoded["offset_mapping"], np.int32).reshape(-1, 2)
    return Template(ids, offsets, np.isin(ids, placeholders))


def place_texts(
    timeline: Timeline,
    ids: Int32,
    parts: Sequence[Part],
    texts: Sequence[Indices],
    decode: Decode,
) -> str:
    """Fill in the tokens of the text parts, in order; returns the text that they say."""
    said = ""
    places = [index for index, part in enumerate(parts) if part.medium < 0]
    for part, tokens in zip(places, texts, strict=True):
        text, chars = decode_with_offsets(ids[tokens].tolist(), decode)
        timeline.modality[tokens] = Modality.TEXT
        timeline.part[tokens] = part
        timeline.chars[tokens] = chars + len(said)
        said += text
    return said


def place_medium(timeline: Timeline, region: Indices, parts: Sequence[Part], medium: int) -> None:
    """Say whose the tokens of `region` are, but for the special ones among them."""
    own = region[timeline.modality[region] != Modality.SPECIAL]
    timeline.medium[own] = medium
    timeline.part[own] = next(i for i, part in enumerate(parts) if part.medium == medium)


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
