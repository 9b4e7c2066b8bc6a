"""Writer of runs: samples are buffered and committed together as immutable segments.

The rule of the store: a segment exists when its commit marker does (docs/format.md). Knows files
by name only, so that a run may be on any `Files`.
"""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType, TracebackType
from typing import Any, Self

import msgspec

from omnitrace.config import flat
from omnitrace.errors import CommandError, OmniTraceError, SampleError
from omnitrace.store import commit
from omnitrace.store.columns import check_trace, modality_counts
from omnitrace.store.commit import FileEntry, Marker, Root, SampleEntry
from omnitrace.store.files import Files
from omnitrace.store.run import PREVIEW_CHARS, ROOT, Run, new_files, read_root
from omnitrace.store.segment import file_name, segment_files
from omnitrace.text import one_line
from omnitrace.trace import Trace

SEGMENT_BYTES = 64 * 2**20
SEGMENT_SECONDS = 60.0
_DIFFERENCES_SHOWN = 5


class RunWriter:
    """Adds samples to a run in one process; many writers may share one run.

    Samples are buffered and become visible together, as one immutable segment, when they fill
    `segment_bytes`, when the first of them is `segment_seconds` old as another is added, on
    `commit`, and on leaving the `with` block, by an exception or not. Not for several threads.
    """

    def __init__(
        self,
        files: Files,
        identity: Mapping[str, Any],
        *,
        segment_bytes: int = SEGMENT_BYTES,
        segment_seconds: float = SEGMENT_SECONDS,
    ) -> None:
        self._files = files
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._root = create_or_join(files, identity)
        self._done = dict(Run(files).sample_keys)
        self._buffer: dict[str, tuple[Trace, str]] = {}
        self._buffered_bytes = 0
        self._since = 0.0
        self._committed_at = 0.0

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        identity: Mapping[str, Any],
        *,
        segment_bytes: int = SEGMENT_BYTES,
        segment_seconds: float = SEGMENT_SECONDS,
    ) -> Self:
        """Create the run at `path`, or join it if it is there with the same identity (JSON data).

        Raises OmniTraceError naming what differs if it is another run, CommandError if something
        else is at `path`.
        """
        return cls(
            new_files(path),
            identity,
            segment_bytes=segment_bytes,
            segment_seconds=segment_seconds,
        )

    @property
    def done(self) -> Mapping[str, str]:
        """Sample id → sample key: committed when the run was opened, or by this writer since."""
        return MappingProxyType(self._done)

    def add(self, trace: Trace, key: str) -> None:
        """Buffer a trace under its sample key; commit if the segment is full or old.

        Raises SampleError if the trace is not legal or its id is in the run already, and what
        `commit` raises.
        """
        if trace.id in self._done or trace.id in self._buffer:
            raise SampleError(f"sample '{one_line(trace.id)}' is in the run already.")
        check_trace(trace, key)
        if not self._buffer:
            self._since, self._buffered_bytes = time.monotonic(), 0
        self._buffer[trace.id] = trace, key
        self._buffered_bytes += trace_nbytes(trace)
        old = time.monotonic() - self._since >= self._segment_seconds
        if old or self._buffered_bytes >= self._segment_bytes:
            self.commit()

    def commit(self) -> None:
        """Write what is buffered as one segment, durably.

        Raises OmniTraceError naming the file that could not be written; the samples of that
        segment are then dropped (record them again), those committed before are safe.
        """
        if not self._buffer:
            return
        segment = str(uuid.uuid4())
        # Commits within one tick of the clock, or after it was set back, keep their order.
        self._committed_at = max(commit.now(), math.nextafter(self._committed_at, math.inf))
        marker = Marker(
            format=commit.FORMAT,
            store_uuid=self._root.store_uuid,
            segment=segment,
            created_at=self._committed_at,
            created_by=commit.creator(),
            samples=[_entry(trace, key) for trace, key in self._buffer.values()],
            files=msgspec.Raw(msgspec.json.encode(self._put_segment(segment))),
        )
        name = commit.marker_name(segment)
        with self._writing(name):  # no rollback from here on: the marker may exist
            self._files.put_if_absent(name, commit.seal(marker))
        self._done |= {trace.id: key for trace, key in self._buffer.values()}
        self._buffer.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.commit()

    def _put_segment(self, segment: str) -> dict[str, FileEntry]:
        entries: dict[str, FileEntry] = {}
        try:
            for name, data in segment_files(list(self._buffer.values())):
                entries[name] = commit.file_entry([data])
                with self._writing(file_name(segment, name)):
                    self._files.put(file_name(segment, name), data)
            with self._writing(file_name(segment, "")):
                self._files.sync()
        except BaseException:
            for name in reversed(entries):  # without a marker they are invisible
                with suppress(OSError):
                    self._files.remove(file_name(segment, name))
            raise
        return entries

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            lost = len(self._buffer)
            self._buffer.clear()
            raise OmniTraceError(
                f"cannot write {self._files.where(name)}: {error.strerror or error}. The "
                f"{len(self._done)} samples committed before are safe; {lost} recorded since are "
                "not saved: make room and run the same command again to record them."
            ) from error


def create_or_join(files: Files, identity: Mapping[str, Any]) -> Root:
    """The root of the run in `files`, made if there is none; errors as in `RunWriter.open`."""
    try:
        wanted = commit.plain(identity)
    except (TypeError, ValueError) as error:
        raise OmniTraceError(f"the identity of a run must be JSON data: {error}.") from error
    try:
        found = files.names()
        if not found:
            files.put_if_absent(ROOT, commit.new_root(wanted))
    except OSError as error:
        raise OmniTraceError(
            f"cannot create the run {files.where('')}: {error.strerror or error}."
        ) from error
    if found and ROOT not in found:
        raise CommandError(
            f"{files.where('')} holds other files ({one_line(found[0])}) and is not a run: record "
            "into another path."
        )
    root = read_root(files)
    _check_identity(files.where(""), flat(root.identity), flat(wanted))
    return root


def _check_identity(path: str, there: dict[str, Any], here: dict[str, Any]) -> None:
    differing = commit.differences(there, here)
    if differing:
        shown = "; ".join(differing[:_DIFFERENCES_SHOWN])
        more = len(differing) - _DIFFERENCES_SHOWN
        raise OmniTraceError(
            f"the run {path} was recorded otherwise: {shown}"
            f"{f'; and {more} more' if more > 0 else ''}. Record into another path."
        )


def _entry(trace: Trace, key: str) -> SampleEntry:
    preview = commit.utf8(one_line(trace.response, PREVIEW_CHARS)).decode()
    return SampleEntry(trace.id, key, trace.n, trace.T, preview, modality_counts(trace))


def trace_nbytes(trace: Trace) -> int:
    """About how many bytes a trace takes, uncompressed."""
    signals = sum(rows.values.nbytes for rows in trace.signals.values())
    signals += sum(array.nbytes for array in trace.arrays.values())
    return signals + 64 * (trace.n + trace.T) + len(trace.prompt_text) + len(trace.response)
