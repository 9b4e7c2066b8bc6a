"""Evidence files: which words of a prompt a right answer rests on, and which answers are right.

Read strictly from JSON lines; held against a prompt, a response or both. Made before a model
answers, so it names the prompt by quotes, and the model's own answer by what it must hold. Knows
no model and no score.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from omnitrace.arrays import Bool
from omnitrace.errors import CommandError, OmniTraceError, SampleError
from omnitrace.prompt import Prompt
from omnitrace.text import one_line
from omnitrace.timeline import Modality
from omnitrace.trace import Trace

_WORD = re.compile(r"\w+")


class QuotedSentence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence of the answer, and the quotes of the prompt that it rests on.

    Without `text`: every sentence that holds an accepted answer.
    """

    evidence: tuple[str, ...]
    text: str = ""


class EvidenceRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sample: its sentences, and the answers that are right; none: the answer was given."""

    id: str
    sentences: tuple[QuotedSentence, ...]
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Supported:
    """Characters [start, end) of a response and the quotes that they rest on."""

    start: int
    end: int
    quotes: tuple[str, ...]


def read_evidence(path: Path) -> dict[str, EvidenceRow]:
    """The rows of an evidence file by sample id; blank lines are passed over.

    CommandError if it cannot be read; OmniTraceError if a line is none, or an id is there twice.
    """
    decoder, found = msgspec.json.Decoder(EvidenceRow), dict[str, EvidenceRow]()
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise CommandError(f"cannot read the evidence {path}: {error.strerror}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise OmniTraceError(
                f"{where}: {error}; a line is {{id, sentences: [{{text, evidence: [quotes]}}], "
                "accepted}."
            ) from error
        if row.id in found:
            raise OmniTraceError(f"{where}: sample '{one_line(row.id)}' is there twice.")
        found[row.id] = row
    return found


def is_right(response: str, accepted: Sequence[str]) -> bool:
    """Whether the words of any accepted answer stand together in the response, whatever their
    case and the marks between them."""
    words = f" {_words(response)} "
    return any(f" {_words(answer)} " in words for answer in accepted if _words(answer))


def _words(text: str) -> str:
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def supported(trace: Trace, row: EvidenceRow) -> list[Supported]:
    """The parts of the response whose evidence is known, in order.

    Sentences with a text are looked up in the response one after another; the others are the
    recorded sentences that hold an accepted answer, the whole response if only it does. SampleError
    where a text is not there, or nothing is supported.
    """
    found, after = list[Supported](), 0
    for sentence in row.sentences:
        if not sentence.text:
            found += _holding(trace, row.accepted, sentence.evidence)
            continue
        start = trace.response.find(sentence.text, after)
        if start < 0:
            raise SampleError(f"its response does not hold '{one_line(sentence.text)}'.")
        after = start + len(sentence.text)
        found.append(Supported(start, after, sentence.evidence))
    if not found:
        raise SampleError("no sentence of its response has evidence.")
    return found


def _holding(trace: Trace, accepted: Sequence[str], quotes: tuple[str, ...]) -> list[Supported]:
    """The recorded sentences of the response with an accepted answer."""
    whole = [(0, len(trace.response))]
    for ranges in (trace.sentences.tolist(), whole):
        right = [
            Supported(start, end, quotes)
            for start, end in ranges
            if is_right(trace.response[start:end], accepted)
        ]
        if right:
            return right
    return []


def steps_of(trace: Trace, part: Supported) -> Bool:
    """(T,) bool: the steps that write any of the part's characters."""
    steps: Bool = (trace.chars[:, 0] < part.end) & (trace.chars[:, 1] > part.start)
    return steps


def quoted_tokens(prompt: Prompt, quotes: Sequence[str]) -> Bool:
    """(n,) bool: the text tokens that overlap any of the quotes.

    SampleError unless the text of the prompt's parts holds each of them exactly once.
    """
    held = np.zeros(prompt.n, np.bool_)
    for quote in quotes:
        held |= _quoted(prompt, quote)
    return held


def _quoted(prompt: Prompt, quote: str) -> Bool:
    line, text = prompt.timeline, prompt.prompt_text
    words = (line.part >= 0) & (line.modality == Modality.TEXT)
    found, start = list[Bool](), text.find(quote)
    while quote and start >= 0:
        tokens = words & (line.chars[:, 0] < start + len(quote)) & (line.chars[:, 1] > start)
        found += [tokens] if tokens.any() else []
        start = text.find(quote, start + 1)
    if len(found) != 1:
        raise SampleError(
            f"its prompt holds the evidence '{one_line(quote)}' {len(found)} times, not once: "
            "quote more of it, exactly as it is written."
        )
    return found[0]


def truth(trace: Trace, row: EvidenceRow) -> dict[str, Any]:
    """What is true of this response, as a line of a truth file (docs/evaluation.md).

    Errors as of `supported` and `quoted_tokens`.
    """
    return {
        "id": trace.id,
        "answer": trace.response,
        "sentences": [
            {
                "text": trace.response[part.start : part.end],
                "evidence": [_placed(trace, quote) for quote in part.quotes],
            }
            for part in supported(trace, row)
        ],
    }


def _placed(trace: Trace, quote: str) -> dict[str, Any]:
    part = trace.timeline.part[_quoted(trace, quote)]
    return {"part": int(part[0]), "text": quote}
