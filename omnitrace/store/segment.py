"""One immutable segment: many samples packed into a few arrays, and read back one by one.

Knows columns, arrays and the marker that lists every file; not how segments make a run.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from omnitrace.arrays import Array
from omnitrace.errors import SampleError
from omnitrace.store import shards
from omnitrace.store.columns import (
    ARRAY,
    COLUMNS,
    OFFSET,
    SIGNAL,
    ArrayEntry,
    SignalEntry,
    array_column,
    column,
    pack,
    signal_columns,
    unpack,
    unpack_array,
    unpack_document,
    unpack_signal,
)
from omnitrace.store.commit import (
    FORMAT,
    ILLEGAL_JSON,
    FileEntry,
    Marker,
    Unreadable,
    file_entry,
    json_bytes,
    marker_name,
)
from omnitrace.store.files import Files
from omnitrace.store.shards import ArrayMetadata
from omnitrace.text import one_line, safe_text
from omnitrace.trace import SignalRows, Trace, cells

Entry = TypeVar("Entry")
Value = TypeVar("Value")

BLOCK = 2**22
"""Bytes of a file that are in memory at once while its checksums are computed."""
_LARGEST_RATIO = 1000  # decoded to stored bytes; blosc's lz4 reaches 255 on zeros


class _Columns(Struct, frozen=True):
    columns: list[str]


class _Attributes(Struct, frozen=True):
    omnitrace: _Columns


class _Group(Struct, frozen=True):
    attributes: _Attributes


def segment_files(samples: Sequence[tuple[Trace, str]]) -> Iterator[tuple[str, bytes]]:
    """The files of a segment of (trace, key) pairs, one array at a time: (name, bytes)."""
    packed = [pack(trace, key) for trace, key in samples]
    signals = sorted({name for trace, _ in samples for name in trace.signals})
    arrays = sorted({name for trace, _ in samples for name in trace.arrays})
    columns = COLUMNS | {name: SIGNAL for signal in signals for name in signal_columns(signal)}
    columns |= {array_column(name): ARRAY for name in arrays}
    yield "zarr.json", _group(list(columns))
    offsets = np.zeros((len(columns), len(samples) + 1), np.int64)
    for number, (name, kind) in enumerate(columns.items()):
        absent = np.zeros(0, kind.dtype)
        pieces = [sample.pop(name, absent) for sample in packed]
        offsets[number, 1:] = np.cumsum([piece.shape[-1] for piece in pieces])
        yield from _array_files(name, np.concatenate(pieces, axis=-1), kind.rows)
    yield from _array_files(OFFSET, offsets, list(columns))


def packed_files(columns: Mapping[str, Array], offsets: Array) -> Iterator[tuple[str, bytes]]:
    """The files of a segment from the columns and offsets of `Segment.packed`."""
    yield "zarr.json", _group(list(columns))
    for name, data in columns.items():
        kind = column(name)
        yield from _array_files(name, data, kind.rows if kind else ())
    yield from _array_files(OFFSET, offsets, list(columns))


def _group(columns: list[str]) -> bytes:
    attributes = {"format": FORMAT, "columns": columns}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"omnitrace": attributes}}
    return json_bytes(group)


def _array_files(name: str, data: Array, rows: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    axis = "boundary" if name == OFFSET else name.split(".")[0]
    for file, content in shards.encode(data, rows, axis):
        yield f"{name}/{file}", content


class Segment:
    """A committed segment, read lazily; usable from several threads.

    Every method but `naming` raises Unreadable, with the file, where something is damaged.
    """

    def __init__(self, files: Files, marker: Marker) -> None:
        self.marker = marker
        self._files = CheckedFiles(files, marker)
        self._lock = threading.Lock()
        self._arrays: dict[str, ArrayMetadata] = {}
        self._offsets: dict[str, Array] = {}

    def where(self, name: str) -> str:
        """The name of a file of the segment in messages; its marker's without a name."""
        return self._files.where(name)

    @property
    def nbytes(self) -> int:
        """Bytes of all files of the segment, as the marker says; 0 where it says nothing legal."""
        with suppress(Unreadable):
            return sum(entry.size for entry in self.marker.parse_files().values())
        return 0

    def packed(self) -> tuple[Array, Iterator[tuple[str, Array]]]:
        """The offsets of every column that this version knows, and the columns in that order."""
        with self._lock:
            self._open()
        names = [name for name in self._offsets if name in self._arrays]
        columns = ((name, self._read(name, 0, self._arrays[name].shape[-1])) for name in names)
        return np.stack([self._offsets[name] for name in names]), columns

    def load(self) -> dict[str, Array]:
        """Every column but those of signals and arrays, complete and read-only."""
        with self._lock:
            self._open()
            columns = {name: self._read(name, 0, self._arrays[name].shape[-1]) for name in COLUMNS}
        for data in columns.values():
            data.flags.writeable = False
        return columns

    def trace(self, row: int, columns: Mapping[str, Array]) -> Trace:
        """The sample in `row`, from the columns of `load`; its signals stay on disk."""
        entry = self.marker.samples[row]
        pieces = {name: data[..., slice(*self._part(name, row))] for name, data in columns.items()}
        with reading("sample"):
            document = unpack_document(pieces["sample"].tobytes())
            if (document.id, document.key) != (safe_text(entry.id), safe_text(entry.key)):
                raise Unreadable("it holds another sample than the marker says")
            if (pieces["prompt"].shape[1], pieces["response"].shape[1]) != (entry.n, entry.T):
                raise Unreadable("it holds other numbers of tokens than the marker says")
            signals = StoredSignals(self, row, document.signals, self.signal)
            arrays = Stored(self, row, document.arrays, self.array)
            return unpack(pieces, document, entry.id, signals, arrays)

    def signal(self, row: int, name: str, entry: SignalEntry) -> SignalRows:
        """The rows of one signal of the sample in `row`, read from disk."""
        sample = self.marker.samples[row]
        columns = signal_columns(name)
        with reading(columns[0]):
            if not set(columns) <= set(self._arrays):
                raise Unreadable("it is not among the segment's columns")
            values, first_row = (self._read(part, *self._part(part, row)) for part in columns)
            return unpack_signal(name, entry, (values, first_row), sample.n, sample.T)

    def signal_values(self, row: int, name: str, entry: SignalEntry, part: range) -> Array:
        """Some of the values of a signal, without reading much else of it."""
        sample, values = self.marker.samples[row], signal_columns(name)[0]
        with reading(values):
            if values not in self._arrays:
                raise Unreadable("it is not among the segment's columns")
            start, stop = self._part(values, row)
            if stop - start != max(1, len(entry.layers)) * cells(sample.n, sample.T):
                raise Unreadable(f"signal '{name}' has another number of values than n and T say")
            return self._read(values, start + part.start, start + part.stop)

    def array(self, row: int, name: str, entry: ArrayEntry) -> Array:
        """One array of a finer level of the sample in `row`, read from disk."""
        column = array_column(name)
        with reading(column):
            if column not in self._arrays:
                raise Unreadable("it is not among the segment's columns")
            return unpack_array(entry, self._read(column, *self._part(column, row)))

    @contextmanager
    def naming(self, row: int) -> Iterator[None]:
        """Convert Unreadable into a SampleError naming the file and what to do."""
        try:
            yield
        except Unreadable as error:
            raise SampleError(
                f"sample '{one_line(self.marker.samples[row].id)}' cannot be read: "
                f"{self._files.where(error.file)}: {safe_text(str(error))}. Put the file back "
                f"from a copy, or delete {self._files.where_marker} and record again; "
                "other segments are not affected."
            ) from error

    def _open(self) -> None:
        if self._offsets:
            return
        self._files.open()
        names = _column_names(self._files.read("zarr.json"))
        shape = [len(names), len(self.marker.samples) + 1]
        self._arrays[OFFSET] = self._array(OFFSET, np.dtype("i8"), shape)
        table = self._read(OFFSET, 0, shape[1])
        for name, offsets in zip(names, table, strict=True):
            kind = column(name)
            if kind:  # a later 1.x may write columns that this version need not read
                rows = [len(kind.rows)] if kind.rows else []
                self._arrays[name] = self._array(name, kind.dtype, [*rows, int(offsets[-1])])
        with reading(OFFSET):
            if np.any(table[:, 0] != 0) or np.any(np.diff(table) < 0):
                raise Unreadable("its boundaries do not ascend from 0")
        self._offsets = dict(zip(names, table, strict=True))

    def _array(self, name: str, dtype: np.dtype[Any], shape: list[int]) -> ArrayMetadata:
        """The checked metadata of an array that must have this dtype and shape."""
        with reading(f"{name}/zarr.json"):
            found = shards.parse_metadata(self._files.read(f"{name}/zarr.json"))
            if found.shape != shape or found.dtype != dtype.newbyteorder("<"):
                raise Unreadable(f"it is {found.shape} {found.data_type}, not {shape} {dtype}")
            stored = sum(self._files.entry(f"{name}/{file}").size for file in found.files)
            if math.prod(shape) * dtype.itemsize > _LARGEST_RATIO * stored:
                raise Unreadable(f"it declares more than its {stored} stored bytes can hold")
        return found

    def _read(self, name: str, start: int, stop: int) -> Array:
        at = name

        def get(file: str, start: int, length: int) -> bytes:
            nonlocal at
            at = f"{name}/{file}"
            return self._files.part(at, start, length)

        try:
            return shards.read(self._arrays[name], get, start, stop)
        except Unreadable as error:
            error.file = error.file or at
            raise
        finally:
            self._files.forget()

    def _part(self, name: str, row: int) -> tuple[int, int]:
        start, stop = self._offsets[name][row : row + 2]
        return int(start), int(stop)


class Stored(Mapping[str, Value], Generic[Entry, Value]):
    """Named parts of one stored sample; each access reads its part of the disk.

    Pickles as a plain dict of all of them, so that a pickled trace needs no store.
    """

    def __init__(
        self,
        segment: Segment,
        row: int,
        entries: Mapping[str, Entry],
        read: Callable[[int, str, Entry], Value],
    ) -> None:
        self._segment = segment
        self._row = row
        self._entries = entries
        self._read = read

    def __getitem__(self, name: str) -> Value:
        with self._segment.naming(self._row):
            return self._read(self._row, name, self._entries[name])

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __reduce__(self) -> tuple[type[dict[str, Value]], tuple[dict[str, Value]]]:
        return dict, (dict(self),)


class StoredSignals(Stored[SignalEntry, SignalRows]):
    """The signals of one stored sample; single rows of them can be read too."""

    def layers_of(self, name: str) -> tuple[int, ...]:
        """The recorded layers of a signal, as in `SignalRows`."""
        return tuple(self._entries[name].layers)

    def some_values(self, name: str, part: range) -> Array:
        """Some of a signal's `SignalRows.values`, without reading much else of it."""
        with self._segment.naming(self._row):
            return self._segment.signal_values(self._row, name, self._entries[name], part)


class CheckedFiles:
    """The files of one segment, each checked against the marker's digests before it is used.

    The bytes of a small file are kept from its checksum until `forget`, so that reading it for the
    first time is one request.
    """

    def __init__(self, files: Files, marker: Marker) -> None:
        self._files = files
        self._marker = marker
        self._segment = marker.segment
        self._entries: dict[str, FileEntry] = {}
        self._verified: set[str] = set()
        self._kept: tuple[str, bytes] = ("", b"")

    @property
    def where_marker(self) -> str:
        """The marker's name in messages."""
        return self._files.where(marker_name(self._segment))

    def where(self, name: str) -> str:
        """A file's name in messages; the marker's without a name."""
        return self._files.where(file_name(self._segment, name)) if name else self.where_marker

    def entry(self, name: str) -> FileEntry:
        """The marker's entry of a file."""
        if name not in self._entries:
            raise Unreadable("the marker does not list it", name)
        return self._entries[name]

    def open(self) -> None:
        """Read the list of files; Unreadable, naming the first that is absent or of wrong size."""
        self._entries = self._marker.parse_files()
        with reading("zarr.json"):
            sizes = {
                found.name: found.size for found in self._files.walk(f"segments/{self._segment}")
            }
        for name, entry in self._entries.items():
            path = file_name(self._segment, name)
            with reading(name):  # one listing is cheap: size() only for files that it lacks
                if sizes.get(path) != entry.size and self._files.size(path) != entry.size:
                    raise Unreadable("its size is not what the marker says")

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        return self.part(name, 0, self.entry(name).size)

    def part(self, name: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`, a negative one counting from the end."""
        size = self.entry(name).size
        begin = start + size if start < 0 else start
        with reading(name):
            if begin < 0 or begin + length > size:
                raise Unreadable("it is too short")
            self._verify(name)
            kept, data = self._kept  # another thread may have read another file
            if kept == name:
                return data[begin : begin + length]
            return self._files.get(file_name(self._segment, name), begin, length)

    def forget(self) -> None:
        """Free the bytes of the file read last."""
        self._kept = "", b""

    def _verify(self, name: str) -> None:
        if name in self._verified:
            return
        path, entry = file_name(self._segment, name), self._entries[name]
        blocks = (self._files.get(path, start, BLOCK) for start in range(0, entry.size, BLOCK))
        small = list(blocks) if entry.size <= BLOCK else []
        if file_entry(small or blocks) != entry:
            raise Unreadable("its checksums are not what the marker says")
        if small:
            self._kept = name, b"".join(small)
        self._verified.add(name)


def file_name(segment: str, name: str) -> str:
    """The name of a segment's file in the run."""
    return f"segments/{segment}/{name}"


def _column_names(group: bytes) -> list[str]:
    with reading("zarr.json"):
        try:
            names = msgspec.json.decode(group, type=_Group).attributes.omnitrace.columns
        except ILLEGAL_JSON as error:
            raise Unreadable(str(error)) from error
        if len(set(names)) < len(names) or not set(COLUMNS) <= set(names):
            raise Unreadable("it does not name every column once")
        return names


@contextmanager
def reading(file: str) -> Iterator[None]:
    """Name the file in errors that do not name one."""
    try:
        yield
    except Unreadable as error:
        error.file = error.file or file
        raise
    except OSError as error:
        raise Unreadable(error.strerror or str(error), file) from error
