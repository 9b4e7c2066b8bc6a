"""A run from an HDF5 file that `omnitrace export` wrote, or anybody else.

What HDF5 can do beyond holding numbers is refused before anything is read: links of every kind but
plain members, storage in other files, virtual data sets, types that are no plain numbers, filters
beyond gzip, and sizes that the stored bytes cannot fill (docs/hdf5.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np

from omnitrace.arrays import Array
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.exchange.hdf5_write import FORMAT, digest
from omnitrace.maintenance.copy import writing
from omnitrace.progress import Progress, Report
from omnitrace.store import additions, commit
from omnitrace.store.columns import COLUMNS, OFFSET, column
from omnitrace.store.commit import Marker, Unreadable
from omnitrace.store.files import LARGEST_DOCUMENT, Files
from omnitrace.store.run import ROOT, read_root
from omnitrace.store.segment import file_name, packed_files
from omnitrace.store.shards import LARGEST_CHUNK_BYTES
from omnitrace.text import one_line, safe_text

MAX_BYTES = 2**34
"""Of one column of one segment, unless the user allows more."""
_LARGEST_RATIO = 1100  # of decoded to stored bytes; deflate reaches 1032
_MOST_COLUMNS = 1000
_MOST_MEMBERS = 10**7
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_NUMBERS = {h5py.h5t.INTEGER, h5py.h5t.FLOAT}


def import_hdf5(path: Path, files: Files, max_bytes: int, report: Report) -> list[str]:
    """Import to `files` what it lacks of the run that was exported to `path`.

    Identity, UUIDs, sample keys, traces and additions are those of the exported run, bit for bit.
    Gives a sentence for each addition that cannot be used. Raises OmniTraceError naming the member
    that is damaged or not allowed, CommandError if another run is in `files`; segments before it
    are then imported.
    """
    with _naming(path), h5py.File(path, "r", locking=False) as file:
        stated = file.attrs.get("omnitrace_hdf5")
        if stated != FORMAT.encode():
            raise Unreadable(f"it is not of omnitrace_hdf5 {FORMAT}")
        return _Import(file, files, max_bytes, report).run()


class _Import:
    def __init__(self, file: Any, files: Files, max_bytes: int, report: Report) -> None:
        self._file, self._files, self._report = file, files, report
        self._max_bytes = max_bytes

    def run(self) -> list[str]:
        data = _bytes(self._file, "run")
        self._uuid = commit.parse_root(data, "in the file").store_uuid
        self._join(data)
        segments = _group(self._file, "segments")
        names = _names(segments, _MOST_MEMBERS)
        there = set(self._files.names("commits"))
        for number, name in enumerate(names):
            self._report(Progress(number, len(names), name))
            if f"{name}.json" not in there:
                with _at(f"segments/{name}"):
                    self._segment(_group(segments, name), name)
        self._report(Progress(len(names), len(names)))
        return self._additions()

    def _join(self, root: bytes) -> None:
        found = self._files.names()
        if not found:
            with writing(self._files):
                self._files.put_if_absent(ROOT, root)
        elif ROOT not in found or read_root(self._files).store_uuid != self._uuid:
            raise CommandError(
                f"{self._files.where('')} holds something else: import into another path."
            )

    def _segment(self, group: Any, name: str) -> None:
        document = _bytes(group, "marker")
        marker = commit.parse_marker(document, name, self._uuid)
        names = _in_order(_names(group, _MOST_COLUMNS))
        shape = [len(names), len(marker.samples) + 1]
        offsets = self._array(group, OFFSET, np.dtype("<i8"), shape)
        if np.any(offsets[:, 0] != 0) or np.any(np.diff(offsets) < 0):
            raise Unreadable("its offsets do not ascend from 0")
        columns = {}
        for row, of in enumerate(names):
            kind = COLUMNS.get(of) or column(of)
            assert kind is not None
            rows = [len(kind.rows)] if kind.rows else []
            expected = [*rows, int(offsets[row, -1])]
            columns[of] = self._array(group, of, kind.dtype.newbyteorder("<"), expected)
        self._put(marker, document, columns, offsets)

    def _put(
        self, marker: Marker, document: bytes, columns: dict[str, Array], offsets: Array
    ) -> None:
        """Write the segment; its marker is the same bytes if the compressor is the same."""
        entries = {}
        for name, data in packed_files(columns, offsets):
            entries[name] = commit.file_entry([data])
            self._put_file(file_name(marker.segment, name), data)
        rewritten = commit.amend(document, files=msgspec.to_builtins(entries))
        with writing(self._files):
            self._files.put_if_absent(commit.marker_name(marker.segment), rewritten)

    def _put_file(self, name: str, data: bytes) -> None:
        with writing(self._files):
            if not self._files.put_if_absent(name, data) and self._files.get(name) != data:
                raise OmniTraceError(
                    f"{self._files.where(name)} is there with other content: remove it and import "
                    "again."
                )

    def _additions(self) -> list[str]:
        group = _group(self._file, "additions")
        damage = []
        for name in _names(group, _MOST_MEMBERS):
            try:
                data = _bytes(group, name)
                additions.parse(data, name, self._uuid)
                with writing(self._files):
                    self._files.put_if_absent(additions.where(name), data)
            except Unreadable as error:
                damage.append(f"addition {one_line(name)} is left out: {safe_text(str(error))}.")
        return damage

    def _array(self, group: Any, name: str, dtype: np.dtype[Any], shape: list[int]) -> Array:
        with _at(name):
            found = _dataset(group, name)
            if list(found.shape) != shape or found.dtype != dtype:
                raise Unreadable(f"it is {found.shape} {found.dtype}, not {shape} {dtype}")
            if math.prod(shape) * dtype.itemsize > self._max_bytes:
                raise Unreadable(
                    f"it is larger than {self._max_bytes} bytes; if you trust the file, allow more "
                    "with --max-bytes"
                )
            data = _read(found, shape, dtype)
            if _attribute(found, "sha256", 64) != digest(data).encode():
                raise Unreadable("its sha256 is not what was written")
            return data.astype(dtype.newbyteorder("="), copy=False)


def _in_order(names: list[str]) -> list[str]:
    """The columns of a segment in its writer's order; Unreadable if some are unknown."""
    rest = sorted(set(names) - {OFFSET, "marker", *COLUMNS})
    strange = [name for name in rest if column(name) is None]
    if strange or not set(COLUMNS) <= set(names):
        raise Unreadable(f"its columns are not legal: {one_line(', '.join(strange or names), 200)}")
    signals = sorted({name.split(".", 1)[1] for name in rest if not name.startswith("array.")})
    both = [f"{kind}.{name}" for name in signals for kind in ("signal", "first_row")]
    found = [*COLUMNS, *both, *(name for name in rest if name.startswith("array."))]
    if set(found) != set(names) - {OFFSET, "marker"}:
        raise Unreadable("it has a signal's values or first rows, and not both")
    return found


def _names(group: Any, most: int) -> list[str]:
    if len(group) > most:
        raise Unreadable(f"it has more than {most} members")
    return sorted(group)


def _member(group: Any, name: str) -> Any:
    """A member of this file, not of another."""
    link = group.get(name, getlink=True)
    if link is None:
        raise Unreadable("it is absent", name)
    if not isinstance(link, h5py.HardLink):
        raise Unreadable("it is a link to elsewhere, which is not followed", name)
    return group[name]


def _group(group: Any, name: str) -> Any:
    found = _member(group, name)
    if not isinstance(found, h5py.Group):
        raise Unreadable("it is no group", name)
    return found


def _dataset(group: Any, name: str) -> Any:
    """A data set of plain numbers that are stored in this file; none of them is read yet."""
    found = _member(group, name)
    if not isinstance(found, h5py.Dataset):
        raise Unreadable("it is no data set", name)
    how = found.id.get_create_plist()
    if how.get_external_count() > 0:
        raise Unreadable("its data lie in another file, which is not opened", name)
    if how.get_layout() == h5py.h5d.VIRTUAL:
        raise Unreadable("it is a virtual data set, which is not followed", name)
    if found.id.get_type().get_class() not in _NUMBERS:
        raise Unreadable("it does not hold plain numbers", name)
    filters = {how.get_filter(place)[0] for place in range(how.get_nfilters())}
    if not filters <= _FILTERS:
        raise Unreadable("it is compressed otherwise than with gzip", name)
    if found.shape is None or not 1 <= len(found.shape) <= 2:
        raise Unreadable("it has neither one nor two dimensions", name)
    chunk = math.prod(found.chunks or ()) * found.dtype.itemsize
    stored = found.id.get_storage_size()
    if chunk > LARGEST_CHUNK_BYTES or found.nbytes > _LARGEST_RATIO * stored:
        raise Unreadable(f"it declares more than its {stored} stored bytes can hold", name)
    return found


def _read(found: Any, shape: list[int], dtype: np.dtype[Any]) -> Array:
    data = np.empty(shape, dtype)
    if data.size:
        found.read_direct(data)
    return data


def _bytes(group: Any, name: str) -> bytes:
    with _at(name):
        found = _dataset(group, name)
        if found.dtype != np.uint8 or len(found.shape) != 1 or found.size >= LARGEST_DOCUMENT:
            raise Unreadable("it is no document")
        return _read(found, list(found.shape), np.dtype("u1")).tobytes()


def _attribute(found: Any, name: str, length: int) -> bytes:
    """A short attribute of bytes; its type is checked before it is read."""
    if name not in found.attrs:
        return b""
    held = found.attrs.get_id(name)
    if held.dtype != np.dtype(f"S{length}") or held.shape != ():
        return b""
    return bytes(found.attrs[name])


@contextmanager
def _at(name: str) -> Iterator[None]:
    """Put the name of the enclosing member before that of the error."""
    try:
        yield
    except Unreadable as error:
        inner = f"/{error.file}" if error.file and error.file != name else ""
        error.file = f"{name}{inner}"
        raise


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (Unreadable, OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        member = (
            f": {one_line(error.file, 200)}" if isinstance(error, Unreadable) and error.file else ""
        )
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OmniTraceError(
            f"{path}{member}: {one_line(why, 400)}. Get the file again, or export the run again."
        ) from error
