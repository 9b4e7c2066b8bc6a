"""A run as one HDF5 file: for MATLAB, Julia or R, or where a quota limits inodes.

The packed columns of docs/format.md as they are, one dataset each, and the documents byte for byte
(docs/hdf5.md). Only what every HDF5 library reads without plugins. Never a live recorder: a file
that is being written is lost with its writer.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from omnitrace.arrays import Array
from omnitrace.atomic import atomic_write
from omnitrace.errors import OmniTraceError
from omnitrace.progress import Progress, Report
from omnitrace.store import additions, commit
from omnitrace.store.columns import OFFSET, column
from omnitrace.store.commit import Unreadable
from omnitrace.store.files import Files, get_document
from omnitrace.store.run import ROOT, Run
from omnitrace.store.segment import Segment
from omnitrace.text import safe_text

FORMAT = "1.0"
CODECS = ("gzip", "none")
CHUNK_ELEMENTS = 2**16
_LEVEL = 4


def export(run: Run, path: Path, codec: str, report: Report) -> list[str]:
    """Write all of `run` to the file `path`, completely or not at all.

    `codec` is `gzip` or `none`. Returns a sentence for each segment or addition that is damaged and
    therefore left out. Raises OmniTraceError if the file cannot be written.
    """
    damage = list(run.damage)
    with atomic_write(path, OmniTraceError) as temporary:
        with h5py.File(temporary, "x", libver="v110") as file:
            _write(run, file, codec, damage, report)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
    return damage


def _write(run: Run, file: Any, codec: str, damage: list[str], report: Report) -> None:
    file.attrs["omnitrace_hdf5"] = np.bytes_(FORMAT)
    _put_bytes(file, "run", get_document(run.files, ROOT))
    segments, added = file.create_group("segments"), file.create_group("additions")
    for number, (name, segment) in enumerate(run.segments.items()):
        report(Progress(number, len(run.segments), name))
        try:
            _put_segment(segments.create_group(name), run.files, segment, codec)
        except (Unreadable, OSError) as error:
            if not isinstance(error, Unreadable):
                raise
            del segments[name]
            damage.append(
                f"segment {name} is left out: {segment.where(error.file)}: "
                f"{safe_text(str(error))}. Put the file back from a copy and export again."
            )
    report(Progress(len(run.segments), len(run.segments)))
    for name in filter(None, map(commit.uuid_of, run.files.names(additions.FOLDER))):
        with suppress(Unreadable):  # `Run.damage` names it
            run.additions.read(name)
            _put_bytes(added, name, get_document(run.files, additions.where(name)))


def _put_segment(group: Any, files: Files, segment: Segment, codec: str) -> None:
    marker = get_document(files, commit.marker_name(segment.marker.segment))
    _put_bytes(group, "marker", marker)
    offsets, columns = segment.packed()
    names = []
    for name, data in columns:
        kind = column(name)
        _put(group, name, data, list(kind.rows) if kind else [], codec)
        names.append(name)
    _put(group, OFFSET, offsets, names, codec)


def _put(group: Any, name: str, data: Array, rows: list[str], codec: str) -> None:
    little = np.ascontiguousarray(data, data.dtype.newbyteorder("<"))
    how: dict[str, Any] = {}
    if codec == "gzip" and data.size:
        width = max(1, CHUNK_ELEMENTS // (data.size // data.shape[-1]))
        chunk = (*data.shape[:-1], min(data.shape[-1], width))
        how = {"chunks": chunk, "compression": "gzip", "compression_opts": _LEVEL, "shuffle": True}
    made = group.create_dataset(name, data=little, **how)
    made.attrs["sha256"] = np.bytes_(digest(little))
    if rows:
        made.attrs["rows"] = np.array(rows, "S")


def _put_bytes(group: Any, name: str, data: bytes) -> None:
    group.create_dataset(name, data=np.frombuffer(data, np.uint8))


def digest(data: Array) -> str:
    """sha256 of an array's little-endian bytes in C order."""
    return hashlib.sha256(data.tobytes()).hexdigest()
