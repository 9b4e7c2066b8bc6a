"""A sample's prompt as text, and which content part each of its characters belongs to.

The chat template is rendered twice: as it is, and with every text of the sample between two marks,
private-use characters, which tell the template's own characters from the texts' however alike they
look. Knows messages and a function that renders them; no tokenizer and no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice, pairwise
from typing import Any

import jinja2
import numpy as np

from omnitrace.arrays import Int32
from omnitrace.errors import SampleError
from omnitrace.timeline import Part
from recorder.inputs.samples import Content, Message, Sample
from recorder.models.settings import first_sentence

Template = Callable[..., str]
"""Messages as transformers' templates take them, and the template's arguments, to the prompt with a
placeholder a medium."""
Fill = Callable[[list[dict[str, Any]]], str]

TEMPLATE_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What goes wrong in chat templates."""

THINKING_TAGS = re.compile(r"(</?think>|\[/?THINK\])")
"""What stands around the thinking in an assistant's text; templates cut texts there."""

_PRIVATE = range(0xF0000, 0xFFFFE)
"""Code points of a plane for private use, from which the marks are taken."""
_MARK = re.compile(f"([{chr(_PRIVATE[0])}-{chr(_PRIVATE[-1])}])")

Mark = Callable[[str], str]
Around = Callable[[str, str, str], str]
"""A text, the mark that begins it and the one that ends it, to the marked text."""


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
    earlier answers, whose parts are then `absent`; SampleError for one that refuses the
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
            raise SampleError(
                f"the model's chat template refuses the messages: {first_sentence(error)}"
            ) from error

    return _rendered(sample.messages, fill)


def _rendered(messages: Sequence[Message], fill: Fill) -> Rendered:
    prompt = fill(chat_of(messages, str))
    parts = parts_of(messages)
    places = np.array([index for index, part in enumerate(parts) if part.medium < 0], np.int32)
    texts = _all_texts(messages)
    text = _texts_of_characters(messages, fill, texts, prompt)
    part = np.where(text >= 0, np.append(places, np.int32(-1))[text], np.int32(-1))
    there = set(text.tolist())
    absent = [number for number, own in enumerate(texts) if own.strip() and number not in there]
    for number in absent:
        if (role := parts[places[number]].role) != "assistant":
            raise SampleError(
                f"the model's chat template changes or drops a text of the role {role}: "
                f"{texts[number].strip()[:60]!r}; put it into a message of another role."
            )
    return Rendered(prompt, part, tuple(places[absent].tolist()))


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


def _texts_of_characters(
    messages: Sequence[Message], fill: Fill, texts: Sequence[str], prompt: str
) -> Int32:
    """(len(prompt),) int32: the number of the text that each character is of, -1: the template's.

    Where a template looks into texts, so that marks change the prompt, fewer and fewer of them are
    marked at once; a text whose own mark changes it is searched for.
    """
    used = {*prompt, *"".join(texts)}
    free = (chr(code) for code in _PRIVATE if chr(code) not in used)
    marks = list(islice(free, 2 * len(texts)))
    pairs = list(zip(marks[::2], marks[1::2], strict=False))
    found = np.full(len(prompt), -1, np.int32)
    unknown = {}
    waiting = [list(range(len(texts)))]
    while waiting:
        numbers = waiting.pop()
        chosen = dict(zip(numbers, pairs, strict=False))
        tried = (_marked(messages, fill, chosen, around) for around in (_around, _around_words))
        own = next((own for text, own in tried if text == prompt), None)
        if own is not None and len(chosen) == len(numbers):
            found = np.maximum(found, own)
        elif len(numbers) > 1:
            half = len(numbers) // 2
            waiting += [numbers[half:], numbers[:half]]
        else:
            unknown[numbers[0]] = texts[numbers[0]].strip()
    _search(found, unknown, prompt)
    return found


def _marked(
    messages: Sequence[Message],
    fill: Fill,
    marks: Mapping[int, tuple[str, str]],
    around: Around,
) -> tuple[str | None, Int32]:
    """The prompt with the texts of these numbers between their marks, and whose its characters are,
    both without the marks; None for the prompt if the template refuses or cuts a marked text."""
    numbers = count()

    def mark(text: str) -> str:
        pair = marks.get(next(numbers))
        return text if pair is None else around(text, *pair)

    nothing = np.zeros(0, np.int32)
    try:
        text = fill(chat_of(messages, mark))
    except SampleError:
        return None, nothing
    begins = {begin: number for number, (begin, _) in marks.items()}
    ends = {end: number for number, (_, end) in marks.items()}
    pieces = _MARK.split(text)
    kept, owners, opened = [pieces[0]], [np.full(len(pieces[0]), -1, np.int32)], -1
    for sign, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        own = piece
        if sign not in begins and sign not in ends:  # a character of the text's own
            own = sign + piece
        elif opened != ends.get(sign, -1):
            return None, nothing
        else:
            opened = begins.get(sign, -1)
        kept.append(own)
        owners.append(np.full(len(own), opened, np.int32))
    return ("".join(kept) if opened < 0 else None), np.concatenate(owners)


def _search(found: Int32, words: Mapping[int, str], prompt: str) -> None:
    """Number the characters of texts, `words` by number, that stand in the prompt where `found` is
    -1; SampleError where there are more such places than texts, or fewer."""
    for own in sorted({*words.values()} - {""}, key=len, reverse=True):
        numbers = [number for number, each in words.items() if each == own]
        starts = [match.start() for match in re.finditer(f"(?={re.escape(own)})", prompt)]
        starts = [at for at in starts if (found[at : at + len(own)] < 0).all()]
        apart = all(b - a >= len(own) for a, b in pairwise(starts))
        if starts and not (apart and len(starts) == len(numbers)):
            raise SampleError(
                f"the model's chat template looks into the texts of the messages, and {own[:60]!r} "
                f"stands in {len(starts)} places of the prompt and in {len(numbers)} of the texts, "
                "so that it cannot be told whose they are: change that text."
            )
        for at, number in zip(starts, numbers, strict=False):
            found[at : at + len(own)] = number
