"""Rows of JSON, JSON lines and Parquet files, checked strictly: every fault with file, row, field.

Knows file formats and msgspec structs; no data set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from omnitrace.errors import CommandError, OmniTraceError

S = TypeVar("S", bound=msgspec.Struct)

AT_ONCE = 16
"""Rows of a Parquet file in memory; they may hold images."""


def parquet_rows(source: Path, kind: type[S]) -> Iterator[tuple[str, S]]:
    """Place and content of each row of a Parquet file, or of all those in a folder, in order.

    Columns that `kind` lacks are not read.
    """
    files = sorted(source.rglob("*.parquet")) if source.is_dir() else [source]
    if not files:
        raise CommandError(f"there is no Parquet file in {source}.")
    for file in files:
        for number, row in enumerate(_parquet(file, kind.__struct_encode_fields__), 1):
            where = f"{file}, row {number}"
            yield where, _convert(row, kind, where)


def json_rows(source: Path, kind: type[S]) -> Iterator[tuple[str, S]]:
    """Place and content of each element of a JSON list, or of each line of JSON lines."""
    text = read_text(source)
    if text.lstrip().startswith("["):
        for number, row in enumerate(_parse(text, str(source)), 1):
            where = f"{source}, row {number}"
            yield where, _convert(row, kind, where)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{source}, line {number}"
            yield where, _convert(_parse(line, where), kind, where)


def read_text(source: Path) -> str:
    """The text of a UTF-8 file; CommandError if it is none."""
    try:
        return source.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{source} is not UTF-8 text (byte {error.start}).") from error
    except OSError as error:
        raise CommandError(f"cannot read {source}: {error.strerror}.") from error


def _parquet(file: Path, wanted: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise CommandError(
            "reading Parquet files needs pyarrow: pip install 'omnitrace-replay[report]'."
        ) from error
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            columns = [name for name in table.schema_arrow.names if name in wanted]
            for batch in table.iter_batches(AT_ONCE, columns=columns):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise CommandError(f"{file} cannot be read as Parquet: {reason}.") from error


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise OmniTraceError(f"{where}: invalid JSON: {error}.") from error


def _convert(row: Any, kind: type[S], where: str) -> S:
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        fields = ", ".join(kind.__struct_encode_fields__)
        raise OmniTraceError(f"{where}: {error}. Fields read: {fields}.") from error
