"""What an importer yields: a question with its options, or a conversation to summarise.

Data only, and the few words that turn a question into a prompt. Knows no file format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from omnitrace.errors import OmniTraceError

ASK_OPTIONS = "\nChoose the right option and say why, in one or two sentences."
ASK_OPEN = "\nAnswer in one or two sentences."


@dataclass(frozen=True)
class MediaFile:
    """One medium of an item: `kind` image, audio or video; `name` as the data set has it.

    Its bytes are in `data` where the data set embeds them, else in the file `path`, None if that
    is not there.
    """

    kind: str
    name: str
    path: Path | None = None
    data: bytes | None = None


Part = str | MediaFile


@dataclass(frozen=True)
class Item:
    """One sample of a data set: the parts of its prompt, in order, and what is known of the answer.

    `options` are the texts of the options as the prompt has them, `answer` the index of the right
    one, None where it is not published; `reference` is a summary or a short answer, empty if there
    is none.
    """

    id: str
    parts: tuple[Part, ...]
    options: tuple[str, ...] = ()
    answer: int | None = None
    reference: str = ""

    @property
    def missing(self) -> list[str]:
        """Names of the media that are not there."""
        media = [part for part in self.parts if isinstance(part, MediaFile)]
        return [file.name for file in media if file.path is None and file.data is None]


def question_parts(
    media: Sequence[MediaFile], question: str, options: Sequence[str]
) -> tuple[Part, ...]:
    """The media, the question, every option as a part of its own, and the request.

    A part of its own is a source unit of its own (paper, App. B.3).
    """
    ask = ASK_OPTIONS if options else ASK_OPEN
    return (*media, question, *(f"\n{option}" for option in options), ask)


def lettered(options: Sequence[str], where: str) -> tuple[str, ...]:
    """Every option after its letter, "A. …", unless all of them begin with theirs already."""
    texts = [" ".join(option.split()) for option in options]
    if len(texts) > len(ascii_uppercase):
        raise OmniTraceError(f"{where}: {len(texts)} options are more than there are letters.")
    if all(_has_letter(text, letter) for text, letter in zip(texts, ascii_uppercase, strict=False)):
        return tuple(texts)
    return tuple(f"{a}. {text}" for a, text in zip(ascii_uppercase, texts, strict=False))


def _has_letter(text: str, letter: str) -> bool:
    return re.match(rf"\(?{letter}[).:](\s|$)", text) is not None


def index_of_letter(answer: str, options: Sequence[str], where: str) -> int:
    """Which option an answer such as "B", "(B)" or "B." names; OmniTraceError if none."""
    letter = answer.strip("() .:\n").upper()
    legal = ascii_uppercase[: len(options)]
    if len(letter) != 1 or letter not in legal:
        raise OmniTraceError(
            f"{where}, field 'answer': '{answer[:40]}' names none of its {len(options)} options; "
            f"legal: {', '.join(legal) or 'none'}."
        )
    return legal.index(letter)
