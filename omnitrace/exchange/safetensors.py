"""Arrays from a safetensors file, by its published layout; every byte checked.

A length of 8 bytes, that much JSON (name → dtype, shape, begin and end), then the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from omnitrace.arrays import Array, Float32, Int64
from omnitrace.attention import float32_of
from omnitrace.store.commit import ILLEGAL_JSON, Unreadable

Get = Callable[[int, int], bytes]
"""(start, length) → bytes of the file."""

_MOST_HEADER = 2**26
_DTYPES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "<u2", "F8_E4M3": "u1"}

Size = Annotated[int, Meta(ge=0, le=2**40)]


class Entry(Struct, frozen=True):
    """The header's entry of one array."""

    dtype: Literal["F32", "F64", "F16", "BF16", "F8_E4M3"]
    shape: Annotated[list[Size], Meta(max_length=8)]
    data_offsets: tuple[Size, Size]

    @property
    def stored(self) -> np.dtype[Any]:
        """The dtype of the bytes; bfloat16 and float8 as the integers of their bits."""
        return np.dtype(_DTYPES[self.dtype])

    @property
    def nbytes(self) -> int:
        """How many bytes the array takes."""
        return math.prod(self.shape) * self.stored.itemsize


class Tensors:
    """The arrays of a file of `size` bytes, each read on access.

    Unreadable if the bytes are no safetensors file of floats, all of them within the file.
    """

    def __init__(self, get: Get, size: int) -> None:
        self._get = get
        head = get(0, 8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length > min(size - 8, _MOST_HEADER):
            raise Unreadable("it is no safetensors file")
        self._start = 8 + length
        self.entries = _entries(get(8, length))
        for entry in self.entries.values():
            start, stop = entry.data_offsets
            if stop > size - self._start or stop - start != entry.nbytes:
                raise Unreadable(f"an array of {entry.shape} {entry.dtype} does not fit its place")
        if sum(entry.nbytes for entry in self.entries.values()) > size - self._start:
            raise Unreadable("its arrays overlap")

    def array(self, name: str) -> Float32:
        """An array as float32."""
        entry = self.entries[name]
        found = self._elements(entry, 0, math.prod(entry.shape)).reshape(entry.shape)
        native = found.astype(entry.stored.newbyteorder("="), copy=False)
        return _E4M3[native] if entry.dtype == "F8_E4M3" else float32_of(native)

    def rows(self, name: str, places: Int64) -> Array:
        """Some rows of an array, its bits as they are stored: (len(places), width).

        `places` rise and count rows of the last axis, the other axes taken as one.
        """
        entry = self.entries[name]
        width = entry.shape[-1]
        runs = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1)
        found = [
            self._elements(entry, int(run[0]) * width, len(run) * width) for run in runs if run.size
        ]
        return np.concatenate([np.zeros(0, entry.stored), *found]).reshape(len(places), width)

    def _elements(self, entry: Entry, start: int, count: int) -> Array:
        itemsize = entry.stored.itemsize
        place, length = self._start + entry.data_offsets[0] + start * itemsize, count * itemsize
        data = self._get(place, length)
        if len(data) != length:
            raise Unreadable("it became shorter while it was read")
        return np.frombuffer(data, entry.stored)


def tensors(data: bytes) -> dict[str, Float32]:
    """Every array as float32; Unreadable if the bytes are no safetensors file of floats."""
    found = Tensors(lambda start, length: data[start : start + length], len(data))
    return {name: found.array(name) for name in found.entries}


def _entries(header: bytes) -> dict[str, Entry]:
    try:
        found = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        found.pop("__metadata__", None)
        return {name: msgspec.json.decode(raw, type=Entry) for name, raw in found.items()}
    except ILLEGAL_JSON as error:
        raise Unreadable(f"its header is not legal: {error}") from error


def _e4m3() -> Float32:
    """The 256 values of float8 e4m3 (finite, one NaN of either sign)."""
    codes = np.arange(256)
    exponent, fraction = codes >> 3 & 15, (codes & 7) / 8
    size = np.where(exponent == 0, fraction * 2.0**-6, (1 + fraction) * 2.0 ** (exponent - 7))
    size[codes & 127 == 127] = np.nan
    return np.where(codes < 128, size, -size).astype(np.float32)


_E4M3 = _e4m3()
