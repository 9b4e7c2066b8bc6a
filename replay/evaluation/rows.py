"""Files of JSON lines, one sample a line: read strictly, every complaint with file and line."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from omnitrace.atomic import atomic_write
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.text import one_line


class Row(Protocol):
    """What stands on a line: it names its sample."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Rows(Generic[R]):
    """The lines of a file by sample id, in its order, and where each stood."""

    path: Path
    by_id: dict[str, R]
    lines: dict[str, int]

    def where(self, id: str) -> str:
        """The place of a sample, for a message."""
        return f"{self.path}, line {self.lines[id]}"

    def check_known(self, samples: Container[str]) -> None:
        """OmniTraceError naming the line of the first sample that is not among `samples`."""
        for id in self.by_id:
            if id not in samples:
                raise OmniTraceError(
                    f"{self.where(id)}: the run has no sample '{one_line(id)}'; take the line out, "
                    "or name the run that it was made for."
                )


def read_rows(path: Path, kind: type[R]) -> Rows[R]:
    """The lines of `path` as msgspec structs; blank ones are passed over.

    CommandError if it cannot be read; OmniTraceError if a line is not one, or a sample is there
    twice.
    """
    decoder = msgspec.json.Decoder(kind)
    found: Rows[R] = Rows(path, {}, {})
    for number, line in enumerate(read_bytes(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise OmniTraceError(f"{path}, line {number}: {error}.") from error
        if row.id in found.by_id:
            raise OmniTraceError(
                f"{path}, line {number}: sample '{one_line(row.id)}' is there twice, first on "
                f"line {found.lines[row.id]}."
            )
        found.by_id[row.id], found.lines[row.id] = row, number
    return found


def read_bytes(path: Path) -> bytes:
    """All of a file; CommandError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}.") from error


def write_rows(path: Path, rows: Iterable[msgspec.Struct]) -> None:
    """Write a file of JSON lines, completely or not at all; CommandError if that fails."""
    with atomic_write(path) as temporary, temporary.open("xb") as file:
        file.writelines(msgspec.json.encode(row) + b"\n" for row in rows)
