"""Mantis-Eval: questions over several images (Jiang et al. 2024, "Mantis").

Parquet as on the data set's card on the Hugging Face hub, configuration `mantis_eval`: `id`,
`question_type` (multi-choice or short-answer), `question`, `images` (bytes, or a path), `options`,
`answer` (a letter), `data_source`, `category`. lmms-eval's task `mantis` reads it alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from omnitrace.errors import OmniTraceError
from recorder.datasets.items import Item, MediaFile, Part, index_of_letter, lettered, question_parts
from recorder.datasets.media import DatasetMedia
from recorder.datasets.rows import parquet_rows

MARK = "<image>"


class _Image(msgspec.Struct):
    data: bytes | None = msgspec.field(default=None, name="bytes")
    path: str | None = None


class _Row(msgspec.Struct):
    id: str
    question_type: Literal["multi-choice", "short-answer"]
    question: str
    images: list[_Image]
    options: list[str]
    answer: str


def read(source: Path, media: DatasetMedia) -> Iterator[Item]:
    """A short answer becomes the reference; `<image>` marks in a question show where images go."""
    for where, row in parquet_rows(source, _Row):
        images = [_image(image, n, media, where) for n, image in enumerate(row.images, 1)]
        short = row.question_type == "short-answer"
        options = () if short else lettered(row.options, where)
        first, *rest = question_parts((), row.question.strip(), options)
        parts = (*_with_pictures(str(first), images, where), *rest)
        if short:
            yield Item(row.id, parts, reference=row.answer)
        else:
            yield Item(row.id, parts, options, index_of_letter(row.answer, options, where))


def _image(image: _Image, number: int, media: DatasetMedia, where: str) -> MediaFile:
    if image.data is not None:
        return MediaFile("image", image.path or f"picture {number}", data=image.data)
    if not image.path:
        raise OmniTraceError(
            f"{where}, field 'images': picture {number} has neither bytes nor path."
        )
    return MediaFile("image", image.path, media.find(image.path, where))


def _with_pictures(question: str, images: Sequence[MediaFile], where: str) -> tuple[Part, ...]:
    """The images at the marks, or before a question without marks."""
    pieces = question.split(MARK)
    if len(pieces) == 1:
        return (*images, question)
    if len(pieces) != len(images) + 1:
        raise OmniTraceError(
            f"{where}, field 'question': it marks {len(pieces) - 1} pictures, and there are "
            f"{len(images)}."
        )
    parts: list[Part] = [pieces[0]]
    for image, piece in zip(images, pieces[1:], strict=True):
        parts += [image, piece]
    return tuple(part for part in parts if not isinstance(part, str) or part.strip())
