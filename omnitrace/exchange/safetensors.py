"""Arrays from the bytes of a safetensors file, by its published layout; every byte doubted.

A length of 8 bytes, that much JSON (name → dtype, shape, begin and end), then the numbers.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from omnitrace.commit import ILLEGAL_JSON, Unreadable

_MOST_HEADER = 2**26
_DTYPES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "<u2", "F8_E4M3": "u1"}

Size = Annotated[int, Meta(ge=0, le=2**40)]


class _Entry(Struct, frozen=True):
    dtype: Literal["F32", "F64", "F16", "BF16", "F8_E4M3"]
    shape: Annotated[list[Size], Meta(max_length=8)]
    data_offsets: tuple[Size, Size]


def tensors(data: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Every array as float32; Unreadable if the bytes are no safetensors file of floats."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _MOST_HEADER):
        raise Unreadable("it is no safetensors file")
    try:
        header = msgspec.json.decode(data[8 : 8 + length], type=dict[str, msgspec.Raw])
        header.pop("__metadata__", None)
        entries = {name: msgspec.json.decode(raw, type=_Entry) for name, raw in header.items()}
    except ILLEGAL_JSON as error:
        raise Unreadable(f"its header is not legal: {error}") from error
    return {name: _array(entry, memoryview(data)[8 + length :]) for name, entry in entries.items()}


def _array(entry: _Entry, data: memoryview) -> npt.NDArray[np.float32]:
    dtype, (start, stop) = np.dtype(_DTYPES[entry.dtype]), entry.data_offsets
    if stop > len(data) or stop - start != math.prod(entry.shape) * dtype.itemsize:
        raise Unreadable(f"an array of {entry.shape} {entry.dtype} does not fit its place")
    found: npt.NDArray[Any] = np.frombuffer(data[start:stop], dtype).reshape(entry.shape)
    if entry.dtype == "BF16":
        return (found.astype("<u4") << 16).view("<f4").astype(np.float32)
    return _E4M3[found] if entry.dtype == "F8_E4M3" else found.astype(np.float32)


def _e4m3() -> npt.NDArray[np.float32]:
    """The 256 values of float8 e4m3 (finite, one NaN of either sign)."""
    codes = np.arange(256)
    exponent, fraction = codes >> 3 & 15, (codes & 7) / 8
    size = np.where(exponent == 0, fraction * 2.0**-6, (1 + fraction) * 2.0 ** (exponent - 7))
    size[codes & 127 == 127] = np.nan
    return np.where(codes < 128, size, -size).astype(np.float32)


_E4M3 = _e4m3()
