"""MMAU: multiple-choice questions about audio (Sakshi et al. 2025, "MMAU").

`mmau-test-mini.json` of the authors' repository: a list of {id, audio_id, question, choices,
answer, dataset, task, split, category, sub-category, difficulty}; `audio_id` ends in the file's
name. The 9,000 questions of the test split are published without answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from omnitrace.errors import OmniTraceError
from recorder.datasets.items import Item, MediaFile, lettered, question_parts
from recorder.datasets.media import DatasetMedia
from recorder.datasets.rows import json_rows


class _Row(msgspec.Struct):
    id: str
    audio_id: str
    question: str
    choices: list[str]
    answer: str | None = None


def read(source: Path, media: DatasetMedia) -> Iterator[Item]:
    """The audio, the question, the choices behind letters."""
    for where, row in json_rows(source, _Row):
        audio = MediaFile("audio", row.audio_id, media.find(row.audio_id, where))
        options = lettered(row.choices, where)
        answer = _index(row.answer, row.choices, where) if row.answer else None
        parts = question_parts([audio], row.question.strip(), options)
        yield Item(row.id, parts, options, answer)


def _index(answer: str, choices: Sequence[str], where: str) -> int:
    """Which choice the answer repeats."""
    known = [choice.strip().casefold() for choice in choices]
    if answer.strip().casefold() not in known:
        raise OmniTraceError(
            f"{where}, field 'answer': '{answer[:40]}' is none of its {len(choices)} choices."
        )
    return known.index(answer.strip().casefold())
