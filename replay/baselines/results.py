"""The results of a baseline, a line a sample as soon as it is known: for resuming and sweeping.

The first line has all that they depend on; a last line that was cut off is computed again. Knows
JSON lines; no baseline.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from omnitrace.errors import CommandError, OmniTraceError

SCHEMA = "omnitrace.baseline/1"


class Results:
    """A file of results: `rows` by sample id; `add` appends one, and makes the file if needed."""

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        self.path = path
        self._head = head
        self._file: IO[bytes] | None = None
        data = path.read_bytes() if path.exists() else b""
        self._whole = data.rfind(b"\n") + 1
        self.rows = _rows(path, data[: self._whole], head)

    def add(self, id: str, data: Any) -> None:
        """Keep one sample's result (JSON data); OSError if that cannot be done."""
        if self._file is None:
            self._file = self._open()
        self.rows[id] = data
        self._file.write(_line({"id": id, "data": data}))
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> IO[bytes]:
        """The file, cut after its last whole line, its first line there."""
        file: IO[bytes]
        if not self.rows:
            file = self.path.open("wb")
            file.write(_line(self._head))
            return file
        file = self.path.open("r+b")
        file.truncate(self._whole)
        file.seek(self._whole)
        return file


@contextmanager
def open_results(path: Path, about: Mapping[str, Any]) -> Iterator[Results]:
    """Open the file at `path` of results that depend on `about` (JSON data).

    Raises CommandError if it cannot be used, or was computed from something else; OmniTraceError
    naming the line if it is damaged.
    """
    try:
        results = Results(path, {"schema": SCHEMA, "about": dict(about)})
        try:
            yield results
        finally:
            results.close()
    except OSError as error:
        raise CommandError(f"cannot keep results in {path}: {error.strerror}.") from error


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True, allow_nan=False).encode() + b"\n"


def _rows(path: Path, data: bytes, head: Mapping[str, Any]) -> dict[str, Any]:
    first, *rest = data.splitlines() or [b""]
    if rest and first + b"\n" != _line(head):
        raise CommandError(
            f"{path} was computed by another baseline, from another run, or with other settings: "
            "remove it, or name another OUT."
        )
    rows = {}
    for number, line in enumerate(rest, start=2):
        try:
            row = json.loads(line)
            rows[row["id"]] = row["data"]
        except (ValueError, TypeError, KeyError) as error:
            raise OmniTraceError(
                f"{path}, line {number} is damaged: remove the line; its sample is computed again."
            ) from error
    return rows
