"""Packed arrays as Zarr v3: written through zarr, read back by range with every byte doubted.

One array is one folder: `zarr.json` and its shards `c.<…>.<k>`. zarr writes them, and any Zarr v3
reader reads them. Reading here goes straight to the shard, because zarr 3.1 (the newest for
Python 3.11) reads an absent chunk as fill values and lets a chunk's header say how much memory
to take. Knows arrays and bytes; neither samples nor where files lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import google_crc32c
import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from omnitrace.commit import Unreadable

Array = npt.NDArray[Any]
Get = Callable[[str, int, int], bytes]  # (shard file, start, negative from its end, length)

CHUNK_ELEMENTS = 2**16  # small enough to read one sample of many, large enough to pack
SHARD_BYTES = 2**28
LARGEST_CHUNK_BYTES = 2**26
LARGEST_SHARD_CHUNKS = 2**16
_ABSENT = 2**64 - 1
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

    def file(self, shard: int) -> str:
        """The file of the shard-th shard along the last axis."""
        return ".".join(["c", *["0"] * (len(self.shape) - 1), str(shard)])


def encode(data: Array, row_names: Sequence[str], axis: str) -> dict[str, bytes]:
    """The files of the array `data`, packed along its last axis, which is called `axis`.

    Chunks of at most 2^16 elements, each compressed and checksummed; shards of at most 256 MiB.
    """
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec
    from zarr.storage import MemoryStore

    chunk, shard = _shapes(data)
    store = MemoryStore()
    array = zarr.create_array(
        store,
        shape=data.shape,
        dtype=data.dtype,
        chunks=chunk,
        shards=shard,
        compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec()],
        fill_value=math.nan if data.dtype.kind == "f" else 0,
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=["row", axis] if row_names else [axis],
        attributes={"rows": list(row_names)} if row_names else {},
        zarr_format=3,
        config={"write_empty_chunks": True},
    )
    if data.size:
        array[...] = data
    return {name: value.to_bytes() for name, value in sorted(store._store_dict.items())}


def parse_metadata(data: bytes) -> ArrayMetadata:
    """The checked `zarr.json` of an array; Unreadable where format 1.0 does not allow it."""
    try:
        found = msgspec.json.decode(data, type=ArrayMetadata)
    except (msgspec.MsgspecError, RecursionError) as error:
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
    from numcodecs import blosc  # type: ignore[import-untyped]

    start, length = int(place[0]), int(place[1])
    expected = math.prod(metadata.chunk) * metadata.dtype.itemsize
    if start == _ABSENT or length == _ABSENT:
        raise Unreadable("a chunk is absent")
    if not _BLOSC_HEADER_BYTES + _CRC_BYTES <= length <= 2 * expected + 1024:
        raise Unreadable("a chunk has no possible length")
    packed = _checked(get(metadata.file(shard), start, length), length, "chunk")
    if int.from_bytes(packed[4:8], "little") != expected:  # blosc's header: bytes when decoded
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
