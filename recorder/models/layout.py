"""What each prompt token is: which content part, which patch, which second.

Helpers that adapters share; they fill a blank timeline in place. Knows no model.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from omnitrace.arrays import Bool, Float64, Int32
from omnitrace.errors import SampleError
from omnitrace.prompt import Prompt
from omnitrace.timeline import Medium, Modality, Part, Timeline
from recorder.inputs.samples import Message, Sample
from recorder.models.render import Rendered, parts_of
from recorder.models.tokens import Decode, decode_with_offsets

Indices = npt.NDArray[np.intp]


def refuse_control_tokens(
    messages: Sequence[Message], tokenizer: Any, more: Sequence[str] = ()
) -> None:
    """SampleError if a text spells a control token or one of `more`: it would be read as one,
    not as text."""
    control = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special]
    texts = [message.thinking for message in messages]
    texts += [part.text for message in messages for part in message.parts]
    found = [word for word in [*control, *more] for text in texts if word in text]
    if found:
        raise SampleError(
            f"a text of the sample contains '{found[0]}', a control token of the model; "
            "remove it or write it differently."
        )


def refuse_length(count: int, most: int) -> None:
    """SampleError if a prompt of `count` tokens is more than a model takes."""
    if count > most:
        raise SampleError(
            f"the prompt has {count} tokens; the model takes at most {most}: shorten its texts, or "
            "take fewer frames a second of its videos and fewer pixels of its images."
        )


@dataclass(frozen=True)
class Replacement:
    """Characters `start` … `end` - 1 of a prompt, which the processor replaced by `text`: the
    tokens of the content part `part`, and what wraps them."""

    start: int
    end: int
    text: str
    part: int


def expand(rendered: Rendered, replacements: Sequence[Replacement]) -> Rendered:
    """The prompt with every placeholder replaced, `replacements` in the order of their places."""
    texts, parts, at = [], [], 0
    for one in replacements:
        texts += [rendered.text[at : one.start], one.text]
        parts += [rendered.part[at : one.start], np.full(len(one.text), one.part, np.int32)]
        at = one.end
    text = "".join([*texts, rendered.text[at:]])
    return Rendered(text, np.concatenate([*parts, rendered.part[at:]]), rendered.absent)


def parts_of_tokens(rendered: Rendered, offsets: Int32) -> Int32:
    """(n,) int32: the content part of each token, from its characters `offsets` (n, 2); -1: none.

    A token belongs to the first part that has one of its characters that are not blank. A blank
    token belongs to the first part that it touches; a mark of the template that takes the blanks
    next to it to none.
    """
    blank = np.array([character.isspace() for character in rendered.text], np.bool_)
    owned = rendered.part >= 0
    seen, touched = _first(owned & ~blank, offsets), _first(owned, offsets)
    at = np.where(_first(~blank, offsets) < 0, touched, seen)
    return np.where(at < 0, -1, np.append(rendered.part, np.int32(-1))[at]).astype(np.int32)


def _first(chosen: Bool, offsets: Int32) -> Indices:
    """(n,) the first of the `chosen` characters (length,) in each token, -1: none."""
    length = len(chosen)
    own = np.where(chosen, np.arange(length), length)
    first = np.append(np.minimum.accumulate(own[::-1])[::-1], length)[offsets[:, 0]]
    return np.where(first < offsets[:, 1], first, -1)


def token_offsets(text: str, ids: Int32, offsets: Int32 | None, decode: Decode) -> Int32:
    """(n, 2) int32: the characters of `text` that each token stands for.

    The tokenizer's own `offsets`, if they cover all that is visible; else by decoding the tokens
    one after another. SampleError if that does not give the text.
    """
    if offsets is not None and _covers(text, offsets):
        return offsets
    decoded, found = decode_with_offsets(ids.tolist(), decode)
    # A token that holds the first bytes of a character stands for that character too.
    found[:, 1] = np.maximum(found[:, 1], found[:, 0] + 1)
    # A tokenizer may put a token before the text, or drop a blank at its beginning.
    shift = decoded.find(text) if text in decoded else -text.find(decoded)
    if text not in decoded and decoded not in text:
        raise SampleError(
            "the model's tokenizer says of no token where it stands in the prompt, and decoding "
            "them does not give the prompt, so its tokens cannot be placed."
        )
    return np.clip(found - shift, 0, len(text)).astype(np.int32)


def _covers(text: str, offsets: Int32) -> bool:
    """Whether every character that shows lies in a token, but for those that a tokenizer composes
    with the character before (NFC)."""
    depth = np.zeros(len(text) + 1, np.int64)
    np.add.at(depth, offsets[:, 0], 1)
    np.add.at(depth, offsets[:, 1], -1)
    bare = np.flatnonzero(np.cumsum(depth)[:-1] == 0)
    return all(_is_hidden(text[at]) or _is_composed(text, at) for at in bare.tolist())


def _is_hidden(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")


def _is_composed(text: str, at: int) -> bool:
    """Whether normalisation joins a character to the three before it (a syllable of Hangul)."""
    before = unicodedata.normalize("NFC", text[max(0, at - 3) : at])
    return len(unicodedata.normalize("NFC", before + text[at])) <= len(before)


@dataclass(frozen=True)
class Template:
    """The rendered prompt with one placeholder a medium, tokenized without the media: m tokens.

    `ids` (m,) int32; `part` (m,) int32: their content parts, -1: none; `holders` (m,) bool: which
    are placeholders. But for their number of tokens these are the prompt's tokens.
    """

    ids: Int32
    part: Int32
    holders: Bool

    def spread(self, prompt_ids: Int32, media: Sequence[tuple[int, int]]) -> Int32:
        """(n,) int32: the content part of each token of the prompt, if the placeholders are these
        `media`, (part, number of tokens) each, in order.

        SampleError unless the prompt's ids are then these.
        """
        width, part = np.ones(len(self.ids), np.intp), self.part.copy()
        if self.holders.sum() == len(media):
            part[self.holders] = [own for own, _ in media]
            width[self.holders] = [count for _, count in media]
        starts = np.cumsum(width) - width
        if width.sum() == len(prompt_ids):
            fixed = ~self.holders
            if (prompt_ids[starts[fixed]] == self.ids[fixed]).all():
                return np.repeat(part, width)
        raise SampleError(
            "the processor's prompt is not its chat template with the media laid out, so its "
            "tokens cannot be placed; is the template of another model?"
        )


def tokenize(
    tokenizer: Any, rendered: Rendered, placeholders: Sequence[int], options: Mapping[str, Any]
) -> Template:
    """Tokenize a rendered prompt; `placeholders` are the ids that stand for media, `options` those
    that the processor gives its tokenizer."""
    encoded = tokenizer(rendered.text, return_offsets_mapping=True, **options)
    ids = np.array(encoded["input_ids"], np.int32)
    offsets = np.array(encoded["offset_mapping"], np.int32).reshape(-1, 2)
    return Template(ids, parts_of_tokens(rendered, offsets), np.isin(ids, placeholders))


def place_texts(
    timeline: Timeline, ids: Int32, parts: Sequence[Part], part: Int32, decode: Decode
) -> str:
    """Fill in the tokens of the text parts, `part` (n,) each token's; returns what they read."""
    read = ""
    for index, one in enumerate(parts):
        if one.medium >= 0:
            continue
        tokens = np.flatnonzero(part == index)
        text, chars = decode_with_offsets(ids[tokens].tolist(), decode)
        timeline.modality[tokens] = Modality.TEXT
        timeline.part[tokens] = index
        timeline.chars[tokens] = chars + len(read)
        read += text
    return read


def prompt_of_texts(
    sample: Sample, ids: Int32, part: Int32, decode: Decode, media: Iterable[Medium]
) -> Prompt:
    """The prompt of `ids` (n,) with its texts placed; `part` (n,): the content part of each token.

    All other tokens are special until an adapter fills in those of the media.
    """
    parts, timeline = parts_of(sample.messages), Timeline.blank(len(ids))
    return Prompt(
        id=sample.id,
        prompt_text=place_texts(timeline, ids, parts, part, decode),
        prompt_ids=ids,
        timeline=timeline,
        parts=parts,
        media=tuple(media),
    )


def place_medium(timeline: Timeline, region: Indices, parts: Sequence[Part], medium: int) -> None:
    """Fill in medium and part of the tokens of `region`, which include those that wrap its own."""
    timeline.medium[region] = medium
    timeline.part[region] = next(i for i, part in enumerate(parts) if part.medium == medium)


def place_patches(
    timeline: Timeline, tokens: Indices, grid: tuple[int, int, int], modality: Modality
) -> None:
    """Fill in image or video tokens laid out frame by frame, row by row, on `grid` (t, h, w)."""
    frame, row, column = np.unravel_index(np.arange(len(tokens)), grid)
    timeline.modality[tokens] = modality
    timeline.frame[tokens] = frame
    timeline.row[tokens] = row
    timeline.column[tokens] = column


def place_seconds(
    timeline: Timeline,
    tokens: Indices,
    starts: Float64,
    length: float | Float64,
    duration: float,
) -> None:
    """Fill in the interval of each token: `length` seconds from its start, within the medium."""
    timeline.start_s[tokens] = starts
    timeline.end_s[tokens] = np.minimum(starts + length, duration)
