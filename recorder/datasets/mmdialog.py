"""MMDialog: conversations with images, to be summarised (Feng et al. 2023, "MMDialog").

`conversations.json` as in the authors' repository: a list of {conversation_id, conversation:
[{turn: [{__TEXT__}, {__MEDIA__}]}], …}; the image of a media key is KEY.jpg in its folder. There
are no summaries.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from omnitrace.errors import OmniTraceError
from recorder.datasets.items import Item, MediaFile, Part
from recorder.datasets.media import DatasetMedia
from recorder.datasets.rows import json_rows

ASK = "Summarise the conversation."


class _Piece(msgspec.Struct, forbid_unknown_fields=True):
    text: str | None = msgspec.field(default=None, name="__TEXT__")
    media: str | int | None = msgspec.field(default=None, name="__MEDIA__")


class _Turn(msgspec.Struct):
    turn: list[_Piece]


class _Row(msgspec.Struct):
    conversation_id: str | int
    conversation: list[_Turn]


def read(source: Path, media: DatasetMedia) -> Iterator[Item]:
    """Each text of a turn is a part on a line of its own, each image a part."""
    file = source / "conversations.json" if source.is_dir() else source
    for where, row in json_rows(file, _Row):
        pieces = [piece for turn in row.conversation for piece in turn.turn]
        parts = [_part(piece, media, where) for piece in pieces]
        yield Item(str(row.conversation_id), (ASK, *parts))


def _part(piece: _Piece, media: DatasetMedia, where: str) -> Part:
    if (piece.text is None) == (piece.media is None):
        raise OmniTraceError(f"{where}, field 'turn': a piece has one of __TEXT__, __MEDIA__.")
    if piece.text is not None:
        return f"\n{piece.text}"
    name = f"{piece.media}.jpg"
    return MediaFile("image", name, media.find(name, where))
