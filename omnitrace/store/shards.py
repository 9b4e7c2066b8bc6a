"""Packed arrays as Zarr v3: written as zarr-python writes them, read with every byte checked.

One array is one folder: `zarr.json` and its shards `c.<…>.<k>`, which any Zarr v3 library reads.
Not through zarr-python, for three reasons that were measured: it reads an absent chunk as fill
values (3.1, the newest for Python 3.11, has no way to forbid it) and lets a chunk's header say
how much memory to take; its event loop costs 100 times what a small array does, in a thread that
a fork would lose; and its import costs 0.3 s. The tests compare every byte with zarr-python's.
Knows arrays and bytes; neither samples nor storage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

import google_crc32c
import msgspec
import numpy as np
from msgspec import Meta, Struct

from omnitrace.arrays import Array
from omnitrace.store.commit import ILLEGAL_JSON, Unreadable, json_bytes

Get = Callable[[str, int, int], bytes]  # (shard file, start, negative from its end, length)

CHUNK_ELEMENTS = 2**16  # small enough to read one sample of many, large enough to pack
SHARD_BYTES = 2**28
LARGEST_CHUNK_BYTES = 2**26
LARGEST_SHARD_CHUNKS = 2**16
_ABSENT = 2**64 - 1
COMPRESSION_LEVEL = 5
_CRC_BYTES = 4
_BLOSC_HEADER_BYTES = 16

Length = Annotated[int, Meta(ge=0, le=2**48)]
Lengths = Annotated[list[Length], Meta(min_length=1, max_length=2)]


class _Codec(Struct, frozen=True, forbid_unknown_fields=True):
    name: Literal["bytes", "blosc", "crc32c"]
    configuration: dict[str, str | int] = {}


class _Sharding(Struct, frozen=True, forbid_unknown_fields=True):
    chunk_shape: Lengths
    codecs: list[_Codec]
    index_codecs: list[_Codec]
    index_location: Literal["end"] = "end"


class _ShardingCodec(Struct, frozen=True, forbid_unknown_fields=True):
    name: Literal["sharding_indexed"]
    configuration: _Sharding


class _GridShape(Struct, frozen=True):
    chunk_shape: Lengths


class _Grid(Struct, frozen=True):
    name: Literal["regular"]
    configuration: _GridShape


class _Separator(Struct, frozen=True):
    separator: Literal["."]


class _KeyEncoding(Struct, frozen=True):
    name: Literal["default"]
    configuration: _Separator


class ArrayMetadata(Struct, frozen=True):
    """An array's `zarr.json`, as far as format 1.0 allows; anything else does not parse."""

    zarr_format: Literal[3]
    node_type: Literal["array"]
    shape: Lengths
    data_type: Literal["uint8", "int32", "int64", "float32", "float64"]
    chunk_grid: _Grid
    chunk_key_encoding: _KeyEncoding
    codecs: Annotated[list[_ShardingCodec], Meta(min_length=1, max_length=1)]
    storage_transformers: Annotated[list[Any], Meta(max_length=0)] = []

    @property
    def dtype(self) -> np.dtype[Any]:
        """The elements' dtype, little-endian as they are stored."""
        return np.dtype(self.data_type).newbyteorder("<")

    @property
    def chunk(self) -> list[int]:
        """The inner chunks' shape."""
        return self.codecs[0].configuration.chunk_shape

    @property
    def shard(self) -> list[int]:
        """The shards' shape."""
        return self.chunk_grid.configuration.chunk_shape

    @property
    def files(self) -> list[str]:
        """The shard files that must exist; none for an array without elements."""
        return [self.file(k) for k in range(math.ceil(self.shape[-1] / self.shard[-1]))]

    def file(self, number: int) -> str:
        """The file of the number-th shard along the last axis."""
        return shard_file(len(self.shape), number)


def encode(data: Array, row_names: Sequence[str], axis: str) -> Iterator[tuple[str, bytes]]:
    """The files (name, bytes) of the array `data`, packed along its last axis, called `axis`.

    Chunks of at most 2^16 elements, each compressed and checksummed, all of them written, also
    those equal to the fill value; shards of at most 256 MiB.
    """
    chunk, shard = _shapes(data)
    names = {"dimension_names": ["row", axis] if row_names else [axis]}
    attributes = {"attributes": {"rows": list(row_names)} if row_names else {}}
    yield "zarr.json", json_bytes(_document(data, chunk, shard) | names | attributes)
    for number, start in enumerate(range(0, data.shape[-1], shard[-1])):
        part = data[..., start : start + shard[-1]]
        yield shard_file(data.ndim, number), _encode_shard(part, chunk, shard[-1] // chunk[-1])


def shard_file(dimensions: int, number: int) -> str:
    """The file of the number-th shard along the last of an array's dimensions."""
    return ".".join(["c", *["0"] * (dimensions - 1), str(number)])


def parse_metadata(data: bytes) -> ArrayMetadata:
    """The checked `zarr.json` of an array; Unreadable where format 1.0 does not allow it."""
    try:
        found = msgspec.json.decode(data, type=ArrayMetadata)
    except ILLEGAL_JSON as error:
        raise Unreadable(str(error)) from error
    sharding = found.codecs[0].configuration
    chain = [codec.name for codec in sharding.codecs]
    if chain != ["bytes", "blosc", "crc32c"]:
        raise Unreadable(f"its codecs are {', '.join(chain)}, not bytes, blosc, crc32c")
    if [codec.name for codec in sharding.index_codecs] != ["bytes", "crc32c"]:
        raise Unreadable("its shard index is not plain bytes with crc32c")
    orders = [sharding.codecs[0], sharding.index_codecs[0]]
    if any(codec.configuration.get("endian", "little") != "little" for codec in orders):
        raise Unreadable("it is not little-endian")
    _check_shapes(found)
    return found


def read(metadata: ArrayMetadata, get: Get, start: int, stop: int) -> Array:
    """Elements start…stop along the last axis, in native byte order; only their chunks are read.

    Raises Unreadable for a chunk that is absent, fails its checksum or is not what was declared.
    """
    rows, width = metadata.shape[:-1], metadata.chunk[-1]
    out = np.empty((*rows, stop - start), metadata.dtype.newbyteorder("="))
    index: tuple[int, Array] | None = None
    for number in range(start // width, math.ceil(stop / width) if stop > start else 0):
        shard, inner = divmod(number, metadata.shard[-1] // width)
        if index is None or index[0] != shard:
            index = shard, _read_index(metadata, get, shard)
        chunk = _read_chunk(metadata, get, shard, index[1][inner])
        low, high = max(start, number * width), min(stop, (number + 1) * width)
        out[..., low - start : high - start] = chunk[
            ..., low - number * width : high - number * width
        ]
    return out


def _shapes(data: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rows = data.shape[:-1]
    width = max(1, min(data.shape[-1], CHUNK_ELEMENTS // math.prod(rows)))
    fit = max(1, SHARD_BYTES // (width * math.prod(rows) * data.dtype.itemsize))
    count = max(1, min(fit, math.ceil(data.shape[-1] / width)))
    return (*rows, width), (*rows, width * count)


def _document(data: Array, chunk: Sequence[int], shard: Sequence[int]) -> dict[str, Any]:
    """The members of an array's `zarr.json`; one-byte elements have no byte order."""
    little = {"configuration": {"endian": "little"}}
    size = data.dtype.itemsize
    blosc = {"cname": "lz4", "clevel": COMPRESSION_LEVEL, "shuffle": "bitshuffle"}
    sharding = {
        "chunk_shape": chunk,
        "codecs": [
            {"name": "bytes"} | (little if size > 1 else {}),
            {"name": "blosc", "configuration": blosc | {"typesize": size, "blocksize": 0}},
            {"name": "crc32c"},
        ],
        "index_codecs": [{"name": "bytes"} | little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": data.shape,
        "data_type": data.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": "NaN" if data.dtype.kind == "f" else 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
    }


def _encode_shard(data: Array, chunk: tuple[int, ...], count: int) -> bytes:
    """Chunks one after another, then `count` pairs of where each begins and how long it is."""
    index = np.full((count, 2), _ABSENT, "<u8")
    chunks: list[bytes] = []
    end = 0
    for number, start in enumerate(range(0, data.shape[-1], chunk[-1])):
        chunks.append(_encode_chunk(data[..., start : start + chunk[-1]], chunk))
        index[number] = end, len(chunks[-1])
        end += len(chunks[-1])
    return b"".join([*chunks, _with_crc(index.tobytes())])


def _encode_chunk(data: Array, chunk: tuple[int, ...]) -> bytes:
    from numcodecs import blosc  # type: ignore[import-untyped]

    fill = np.nan if data.dtype.kind == "f" else 0
    padded = np.full(chunk, fill, data.dtype.newbyteorder("<"))
    padded[..., : data.shape[-1]] = data
    return _with_crc(blosc.compress(padded, b"lz4", COMPRESSION_LEVEL, blosc.BITSHUFFLE))


def _with_crc(data: bytes) -> bytes:
    crc: int = google_crc32c.value(data)
    return data + crc.to_bytes(_CRC_BYTES, "little")


def _check_shapes(metadata: ArrayMetadata) -> None:
    shape, chunk, shard = metadata.shape, metadata.chunk, metadata.shard
    if not shape[:-1] == chunk[:-1] == shard[:-1] or len(chunk) != len(shape):
        raise Unreadable("its chunks and shards do not hold all rows")
    if chunk[-1] < 1 or shard[-1] % chunk[-1] or shard[-1] == 0:
        raise Unreadable("its shards are not made of whole chunks")
    if math.prod(chunk) * metadata.dtype.itemsize > LARGEST_CHUNK_BYTES:
        raise Unreadable(f"its chunks are larger than {LARGEST_CHUNK_BYTES} bytes")
    if shard[-1] // chunk[-1] > LARGEST_SHARD_CHUNKS:
        raise Unreadable(f"its shards hold more than {LARGEST_SHARD_CHUNKS} chunks")


def _read_index(metadata: ArrayMetadata, get: Get, shard: int) -> Array:
    """(chunks, 2) uint64: where each chunk of a shard begins, and its length."""
    count = metadata.shard[-1] // metadata.chunk[-1]
    nbytes = 16 * count + _CRC_BYTES
    index = _checked(get(metadata.file(shard), -nbytes, nbytes), nbytes, "shard index")
    return np.frombuffer(index, "<u8").reshape(count, 2)


def _read_chunk(metadata: ArrayMetadata, get: Get, shard: int, place: Array) -> Array:
    from numcodecs import blosc

    start, length = int(place[0]), int(place[1])
    expected = math.prod(metadata.chunk) * metadata.dtype.itemsize
    if start == _ABSENT or length == _ABSENT:
        raise Unreadable("a chunk is absent")
    if not _BLOSC_HEADER_BYTES + _CRC_BYTES <= length <= 2 * expected + 1024:
        raise Unreadable("a chunk has no possible length")
    packed = _checked(get(metadata.file(shard), start, length), length, "chunk")
    header = [int.from_bytes(packed[place : place + 4], "little") for place in (4, 8, 12)]
    decoded, block, encoded = header
    # blosc believes its header, and would read past the end of fewer bytes than that names.
    if decoded != expected or encoded != len(packed) or not 0 < block <= max(decoded, 1):
        raise Unreadable("a chunk is not of the declared size")
    try:
        data = blosc.decompress(packed)
    except (RuntimeError, ValueError) as error:
        raise Unreadable(f"a chunk cannot be decoded: {error}") from error
    return np.frombuffer(data, metadata.dtype).reshape(metadata.chunk)


def _checked(data: bytes, length: int, what: str) -> bytes:
    body, crc = data[:-_CRC_BYTES], data[-_CRC_BYTES:]
    if len(data) != length or google_crc32c.value(body).to_bytes(4, "little") != crc:
        raise Unreadable(f"a {what} fails its checksum")
    return body
