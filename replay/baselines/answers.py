"""Self-attribution's question and answers (paper, App. C.2.1): a judge's, but read leniently.

What a model says about its own sentences is mended where it is not quite legal, always in the same
way, and what cannot be read stands for empty labels. Knows traces and labels; no model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import msgspec

from omnitrace.trace import Trace
from replay.evaluation.labels import Labels, Supports, last_second, media_of, sentences_of
from replay.evaluation.space import prompt_sentences
from replay.judge.prompts import Message, messages, modalities_of

State = Literal["legal", "mended", "unreadable"]
STATES: tuple[State, ...] = ("legal", "mended", "unreadable")
MOST_TRIED = 100
"""Brackets of an answer at which its array may begin."""


@dataclass(frozen=True)
class Answer:
    """The labels that an answer gives: as it stands (`legal`), after it was `mended`, or empty
    ones, for it is `unreadable`."""

    labels: Labels
    state: State


def question(trace: Trace) -> list[Message]:
    """The chat that a judge would get; a medium is a part {type: its kind, index: its place}."""
    media = {i: [{"type": m.kind, "index": i}] for i, m in enumerate(trace.media)}
    return messages(trace, media, text_only=False)


def read_answer(trace: Trace, text: str, labeller: str) -> Answer:
    """The labels in an answer.

    Of all that it says, the first JSON array counts, and in it an object a sentence. Illegal ids
    and stretches are left out, the others put in order; what is missing is empty.
    """
    entries = _first_array(text)
    mended = tuple(
        _supports(trace, entries[index] if entries and index < len(entries) else None)
        for index in range(len(trace.sentences))
    )
    labels = Labels(trace.id, mended, sentences=sentences_of(trace), labeller=labeller)
    if entries is None:
        return Answer(labels, "unreadable")
    legal = json.loads(msgspec.json.encode(mended)) == _plain(text)
    return Answer(labels, "legal" if legal else "mended")


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _first_array(text: str) -> list[Any] | None:
    """The first JSON array of objects in a text, empty arrays too; None if there is none."""
    decoder = json.JSONDecoder()
    for bracket in islice(re.finditer(r"\[", text), MOST_TRIED):
        try:
            found, _ = decoder.raw_decode(text, bracket.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(found, list) and all(isinstance(entry, dict) for entry in found):
            return found
    return None


def _supports(trace: Trace, entry: Any) -> Supports:
    """What is legal of one sentence's entry."""
    given = entry if isinstance(entry, dict) else {}
    lists = {f"{name}_source": given.get(f"{name}_source") for name in modalities_of(trace)}
    return Supports(**{key: _legal(trace, key, value) for key, value in lists.items()})


def _legal(trace: Trace, key: str, value: Any) -> tuple[Any, ...]:
    values = value if isinstance(value, list) else []
    if key == "text_source":
        return _ids(values, len(prompt_sentences(trace)[1]))
    if key == "image_source":
        return _ids(values, len(media_of(trace, key)))
    return _stretches(trace, media_of(trace, key), values)


def _ids(values: Sequence[Any], legal: int) -> tuple[int, ...]:
    return tuple(sorted({v for v in values if type(v) is int and 0 <= v < legal}))


def _stretches(trace: Trace, media: Sequence[int], values: Sequence[Any]) -> tuple[Any, ...]:
    """Legal ones in order; of those that overlap the first counts."""
    several = len(media) > 1
    found = sorted({tuple(v) for v in values if _is_stretch(trace, media, v)})
    kept: list[tuple[Any, ...]] = []
    for stretch in found:
        before = kept[-1] if kept else None
        same = before is not None and (not several or before[0] == stretch[0])
        if before is None or not same or before[-1] <= stretch[-2]:
            kept.append(stretch)
    return tuple(kept)


def _is_stretch(trace: Trace, media: Sequence[int], value: Any) -> bool:
    several = len(media) > 1
    if not isinstance(value, list) or len(value) != 2 + several:
        return False
    if not all(type(number) in (int, float) for number in value):
        return False
    *ordinal, start, end = value
    if several and (type(ordinal[0]) is not int or ordinal[0] not in range(len(media))):
        return False
    last = last_second(trace, media[ordinal[0] if several else 0])
    return bool(0 <= start < end <= last)
