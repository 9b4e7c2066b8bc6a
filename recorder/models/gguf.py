"""The metadata at the beginning of a GGUF file. Loads no torch, and not the package gguf.

Knows the file format; not what the values mean.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnitrace.errors import CommandError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
STRING, ARRAY = 8, 9
NUMBERS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
"""The format's numeric value types, as `struct` writes them."""


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do; CommandError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4) == MAGIC
    except OSError as error:
        raise CommandError(f"cannot read the model {path}: {error.strerror}.") from error


def read_metadata(path: Path, keep: Collection[str] = ()) -> dict[str, Any]:
    """Key → value of a GGUF file; of an array its length, unless its key is in `keep`.

    Raises CommandError for a file that is damaged, cut off or of another version.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).metadata(keep)
    except OSError as error:
        raise CommandError(f"cannot read the model {path}: {error.strerror}.") from error
    except (struct.error, ValueError, OverflowError) as error:
        raise CommandError(
            f"the GGUF file {path} is damaged, cut off or of a version other than 2 and 3: "
            "download or convert it again."
        ) from error


@dataclass
class _Reader:
    data: mmap.mmap
    at: int = 0

    def metadata(self, keep: Collection[str]) -> dict[str, Any]:
        if self.data[:4] != MAGIC:
            raise ValueError("no magic")
        self.at = 4
        version, _tensors, count = self._number("<I"), self._number("<Q"), self._number("<Q")
        if version not in VERSIONS:
            raise ValueError("another version")
        found = {}
        for _ in range(count):
            key = self._string()
            found[key] = self._value(self._number("<I"), key in keep)
        return found

    def _number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def _string(self) -> str:
        length = self._number("<Q")
        text = self.data[self.at : self.at + length]
        if len(text) != length:
            raise ValueError("cut off")
        self.at += length
        return text.decode("utf-8")

    def _value(self, kind: int, kept: bool) -> Any:
        if kind == STRING:
            return self._string()
        if kind != ARRAY:
            return self._number(_form(kind))
        inner, count = self._number("<I"), self._number("<Q")
        if count > len(self.data):
            raise ValueError("cut off")
        if kept:
            return [self._value(inner, kept) for _ in range(count)]
        if inner == STRING:
            for _ in range(count):
                self.at += 8 + struct.unpack_from("<Q", self.data, self.at)[0]
        else:
            self.at += count * struct.calcsize(_form(inner))
        return count


def _form(kind: int) -> str:
    if kind not in NUMBERS:
        raise ValueError("an unknown type of value")
    return NUMBERS[kind]
