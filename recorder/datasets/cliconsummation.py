"""MM-CliConSummation: talks of patient and doctor with images (Tiwari et al. 2023, CIKM).

CSV as the sample in the authors' repository: a block a conversation, of a header row (Patient,
Doctor, …, Summary, …), a row `Dialogue ID`, a row a turn, and a row `Disease: …`, which is left out
for it gives the diagnosis away. `$S22_3_1.jpg$` in a turn is an image of the folder Visuals.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omnitrace.errors import OmniTraceError
from recorder.datasets.items import Item, MediaFile, Part
from recorder.datasets.media import DatasetMedia
from recorder.datasets.rows import read_text

ASK = "Summarise the conversation between the patient and the doctor."
IMAGE = re.compile(r"\$([^$\n]+)\$")
DISEASE = re.compile(r"Disease\s*[:;]")
SPEAKERS = ("Patient", "Doctor")


@dataclass
class _Block:
    """A conversation: the cells of its turns, with the line in which each begins."""

    where: str
    header: list[str]
    id: str = ""
    turns: list[tuple[str, list[str]]] = field(default_factory=list)

    def cell(self, row: Sequence[str], name: str) -> str:
        column = self.header.index(name)
        return row[column].strip() if column < len(row) else ""


def read(source: Path, media: DatasetMedia) -> Iterator[Item]:
    """The summary of the whole conversation is the reference; those of one side are not read."""
    for block in _blocks(source):
        parts = [
            part
            for where, row in block.turns
            for speaker in SPEAKERS
            for part in _spoken_parts(speaker, block.cell(row, speaker), media, where)
        ]
        summaries = [block.cell(row, "Summary") for _, row in block.turns]
        yield Item(block.id, (ASK, *parts), reference=next(filter(None, summaries), ""))


def _blocks(source: Path) -> Iterator[_Block]:
    block: _Block | None = None
    for where, row in _rows(source):
        first = row[0].strip() if row else ""
        if first == SPEAKERS[0]:
            if block is not None:
                yield _checked(block)
            block = _begin(where, row)
        elif not any(cell.strip() for cell in row) or DISEASE.match(first):
            continue
        elif block is None:
            raise OmniTraceError(f"{where}: a conversation begins with a row Patient, Doctor, ….")
        elif first == "Dialogue ID":
            block.id = row[1].strip() if len(row) > 1 else ""
        else:
            block.turns.append((where, row))
    if block is not None:
        yield _checked(block)


def _begin(where: str, row: Sequence[str]) -> _Block:
    header = [cell.strip() for cell in row]
    for name in (*SPEAKERS, "Summary"):
        if name not in header:
            raise OmniTraceError(f"{where}: the conversation has no column '{name}'.")
    return _Block(where, header)


def _checked(block: _Block) -> _Block:
    if not block.id:
        raise OmniTraceError(f"{block.where}: the conversation has no 'Dialogue ID'.")
    if not block.turns:
        raise OmniTraceError(f"{block.where}: the conversation '{block.id[:40]}' has no turns.")
    return block


def _rows(source: Path) -> Iterator[tuple[str, list[str]]]:
    lines = csv.reader(io.StringIO(read_text(source), newline=""), strict=True)
    begins = 1
    try:
        for row in lines:
            yield f"{source}, line {begins}", row
            begins = lines.line_num + 1
    except csv.Error as error:
        raise OmniTraceError(f"{source}, line {begins}: it is not CSV: {error}.") from error


def _spoken_parts(speaker: str, text: str, media: DatasetMedia, where: str) -> Iterator[Part]:
    """The text of a speaker, on a line of its own, in pieces between its images."""
    if not text:
        return
    # Names of images stand at the odd places.
    for place, piece in enumerate(IMAGE.split(text)):
        if place % 2:
            yield MediaFile("image", piece, media.find(piece, where))
        elif place == 0:
            yield f"\n{speaker}: {piece}"
        elif piece.strip():
            yield piece
