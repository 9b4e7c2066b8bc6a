"""Video-MME: multiple-choice questions about videos (Fu et al. 2025, "Video-MME").

Parquet as on the data set's card on the Hugging Face hub: `video_id`, `duration`, `domain`,
`sub_category`, `url`, `videoID`, `question_id`, `task_type`, `question`, `options` (each after its
letter), `answer` (a letter). The video is videoID.mp4, .MP4 or .mkv, as lmms-eval looks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from recorder.datasets.items import Item, MediaFile, index_of_letter, lettered, question_parts
from recorder.datasets.media import DatasetMedia
from recorder.datasets.rows import parquet_rows

SUFFIXES = (".mp4", ".MP4", ".mkv")


class _Row(msgspec.Struct):
    question_id: str
    videoID: str
    question: str
    options: list[str]
    answer: str


def read(source: Path, media: DatasetMedia) -> Iterator[Item]:
    """The video, the question, the options."""
    for where, row in parquet_rows(source, _Row):
        options = lettered(row.options, where)
        video = _video(row.videoID, media, where)
        parts = question_parts([video], row.question.strip(), options)
        answer = index_of_letter(row.answer, options, where)
        yield Item(row.question_id, parts, options, answer)


def _video(name: str, media: DatasetMedia, where: str) -> MediaFile:
    found = (media.find(name + suffix, where) for suffix in SUFFIXES)
    return MediaFile("video", name + SUFFIXES[0], next(filter(None, found), None))
