"""A sample's prompt as text, and which content part each of its characters belongs to.

The chat template is rendered twice: as it is, and with every text of the user between two marks,
private-use characters, which tell the template's own characters from the user's however alike they
look. Knows messages and a function that renders them; no tokenizer and no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import jinja2
import numpy as np

from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Int32, Part
from recorder.inputs.samples import Content, Message, Sample
from recorder.models.weights import first_sentence

Template = Callable[..., str]
"""Messages as transformers' templates take them, and the template's arguments, to the prompt with a
placeholder a medium."""
Fill = Callable[[list[dict[str, Any]]], str]

TEMPLATE_ERRORS = (jinja2.TemplateError, ValueError, TypeError, KeyError, IndexError)
"""What goes wrong in chat templates."""

THINKING_TAGS = re.compile(r"(</?think>|\[/?THINK\])")
"""What stands around the thinking in an assistant's text; templates cut texts there."""

_MARKS = 0xF0000
"""First code point of the marks, in a private-use plane of 65,534 characters."""
_MARK = re.compile("([\U000f0000-\U000ffffd])")

Mark = Callable[[str], str]


@dataclass(frozen=True)
class Rendered:
    """A prompt as text: `part` (len(text),) int32 indexes the content parts, -1 for what the chat
    template adds; `absent`: parts with a text that the template leaves out."""

    text: str
    part: Int32
    absent: tuple[int, ...] = ()


def parts_of(messages: Sequence[Message]) -> tuple[Part, ...]:
    """The content parts in order, media numbered as they come.

    The thinking of a message, and each stretch of an assistant's text between thinking tags, is a
    part of its own.
    """
    media = count()
    found = []
    for message in messages:
        found += [Part(message.role, "text") for _ in _texts(message.role, message.thinking)]
        for content in message.parts:
            if content.kind == "text":
                texts = _texts(message.role, content.text) or [content.text]
                found += [Part(message.role, "text") for _ in texts]
            else:
                found.append(Part(message.role, content.kind, next(media)))
    return tuple(found)


def render(sample: Sample, template: Template, args: Mapping[str, Any]) -> Rendered:
    """The prompt of a sample with one placeholder a medium, and whose its characters are.

    `args`: more arguments of the template. It may trim the texts and may leave out the thinking of
    earlier answers, whose parts are then `absent`; OmniTraceError for one that refuses the
    messages, or leaves out or changes any other text.
    """
    options = {
        "tokenize": False,
        "add_generation_prompt": not sample.continues,
        "continue_final_message": sample.continues,
        "tools": [dict(tool) for tool in sample.tools] or None,
        **args,
    }

    def fill(messages: list[dict[str, Any]]) -> str:
        try:
            return template(messages, **options)
        except TEMPLATE_ERRORS as error:
            raise OmniTraceError(
                f"the model's chat template refuses the messages: {first_sentence(error)}"
            ) from error

    return _rendered(sample.messages, fill)


def _rendered(messages: Sequence[Message], fill: Fill) -> Rendered:
    prompt = fill(chat_of(messages, str))
    parts = parts_of(messages)
    places = [index for index, part in enumerate(parts) if part.medium < 0]
    part = None
    for mark in (_around, _around_words):
        part = part if part is not None else _marked_parts(messages, fill, mark, places, prompt)
    texts = _all_texts(messages)
    if part is None:
        part = _searched_parts(texts, places, prompt)
    absent = [
        index
        for index, text in zip(places, texts, strict=True)
        if text.strip() and not (part == index).any()
    ]
    for index in absent:
        if (role := parts[index].role) != "assistant":
            words = texts[places.index(index)].strip()[:60]
            raise OmniTraceError(
                f"the model's chat template changes or drops a text of the role {role}: {words!r}; "
                "put it into a message of another role."
            )
    return Rendered(prompt, part, tuple(absent))


def chat_of(messages: Sequence[Message], mark: Mark) -> list[dict[str, Any]]:
    """The messages as transformers' templates take them: contents are lists of parts, media by
    their kind alone, and every text goes through `mark`, in the order of `parts_of`."""
    return [_message(message, mark) for message in messages]


def _message(message: Message, mark: Mark) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.role}
    if message.thinking:
        thinking = _each_text(message.role, message.thinking, mark)
        # Templates have three names for it.
        made |= dict.fromkeys(("reasoning_content", "reasoning", "thinking"), thinking)
    if message.parts:
        made["content"] = [_content(message.role, part, mark) for part in message.parts]
    return made | dict(message.fields)


def _content(role: str, content: Content, mark: Mark) -> dict[str, str]:
    if content.kind != "text":
        return {"type": content.kind, content.kind: "medium"}
    if not _texts(role, content.text):
        return {"type": "text", "text": mark(content.text)}
    return {"type": "text", "text": _each_text(role, content.text, mark)}


def _cut(role: str, text: str) -> list[str]:
    """Texts and thinking tags in turn, beginning and ending with a text."""
    return THINKING_TAGS.split(text) if role == "assistant" else [text]


def _texts(role: str, text: str) -> list[str]:
    """What is written between the tags."""
    return [piece for piece in _cut(role, text)[::2] if piece.strip()]


def _each_text(role: str, text: str, mark: Mark) -> str:
    pieces = _cut(role, text)
    pieces[::2] = [mark(piece) if piece.strip() else piece for piece in pieces[::2]]
    return "".join(pieces)


def _all_texts(messages: Sequence[Message]) -> list[str]:
    found: list[str] = []

    def keep(text: str) -> str:
        found.append(text)
        return text

    chat_of(messages, keep)
    return found


def _around(text: str, begin: str, end: str) -> str:
    return begin + text + end


def _around_words(text: str, begin: str, end: str) -> str:
    """Marks within the blanks at either end, which a template may trim."""
    words = text.strip()
    if not words:
        return text
    lead = len(text) - len(text.lstrip())
    return text[:lead] + begin + words + end + text[lead + len(words) :]


def _marked_parts(
    messages: Sequence[Message],
    fill: Fill,
    around: Callable[[str, str, str], str],
    places: Sequence[int],
    prompt: str,
) -> Int32 | None:
    """(len(prompt),) the part of each character; None if the marks changed the prompt."""
    numbers = count()

    def mark(text: str) -> str:
        first = _MARKS + 2 * next(numbers)
        return around(text, chr(first), chr(first + 1))

    pieces = _MARK.split(fill(chat_of(messages, mark)))
    if "".join(pieces[::2]) != prompt:
        return None
    part = np.full(len(prompt), -1, np.int32)
    at, opened = 0, -1
    for piece, following in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        if opened >= 0:
            part[at : at + len(piece)] = places[opened]
        at += len(piece)
        if following:
            number, ends = divmod(ord(following) - _MARKS, 2)
            if opened != (number if ends else -1):
                return None  # the template cut a text in two
            opened = -1 if ends else number
    return part if opened < 0 else None


def _searched_parts(texts: Sequence[str], places: Sequence[int], prompt: str) -> Int32:
    """The same by looking for the texts in order, for templates that look into them.

    OmniTraceError where a text could be found in two places.
    """
    part = np.full(len(prompt), -1, np.int32)
    after = 0
    for text, place in zip(texts, places, strict=True):
        words = text.strip()
        at = prompt.find(words, after) if words else -1
        if at < 0:
            continue
        if prompt.count(words) > sum(other.count(words) for other in texts):
            raise OmniTraceError(
                f"the model's chat template changes the texts of the messages, and {words[:60]!r} "
                "stands in its own words too, so that it cannot be told whose they are."
            )
        after = at + len(words)
        part[at:after] = place
    return part
