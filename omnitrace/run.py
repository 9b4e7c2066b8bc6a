"""Runs: many samples recorded into one place, read as a mapping and written segment by segment.

The rule of the store: a segment exists when its commit marker does (docs/format.md). Knows files
by name only, so that a run may lie on any `Files`.
"""

from __future__ import annotations

import difflib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from omnitrace import commit
from omnitrace.columns import check_trace, modality_counts, safe_json
from omnitrace.commit import FileEntry, Marker, Root, SampleEntry, Unreadable
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.files import Files, LocalFiles
from omnitrace.segment import Segment, file_name, segment_files
from omnitrace.text import one_line, safe_text
from omnitrace.timeline import Int32, Modality
from omnitrace.trace import Trace

ROOT = "zarr.json"
PREVIEW_CHARS = 80
SEGMENT_BYTES = 64 * 2**20
SEGMENT_SECONDS = 60.0
_LOADED_SEGMENTS = 4
_LARGEST_JSON = 2**28
_SUGGEST_AMONG = 1000
_DIFFERENCES_SHOWN = 5


class UnknownSample(CommandError, KeyError):
    """The run has no such sample."""

    __str__ = Exception.__str__  # KeyError's would quote the sentence


@dataclass(frozen=True)
class SampleTable:
    """Every sample of a run at a glance, S rows, without reading a segment.

    `ids` are as the user gave them (show them through `safe_text`); `previews` are safe and one
    line; `n`, `T` (S,) int32; `modalities` (S, 5) int32: prompt tokens by `Modality`.
    """

    ids: tuple[str, ...]
    n: Int32
    T: Int32
    modalities: Int32
    previews: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class _Listing:
    """What the markers said when they were last read; `places` is in the order of recording."""

    segments: dict[str, Segment]
    places: dict[str, tuple[Segment, int]]
    damage: list[str]


class Run(Mapping[str, Trace]):
    """The samples of a run by id, in the order of recording; a trace is read when asked for.

    Opening reads the root; the first look at the samples reads the commit markers. Damage found
    then is in `damage`, and what is not damaged stays usable; damage of a segment is an
    OmniTraceError when a sample of it is read. May be used from several threads.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._root = _read_root(files)
        self._listing: _Listing | None = None
        self._load: Callable[[Segment], dict[str, Any]] = lru_cache(_LOADED_SEGMENTS)(Segment.load)

    @property
    def path(self) -> str:
        """Where the run lies."""
        return self._files.where("").rstrip("/")

    @property
    def identity(self) -> dict[str, Any]:
        """What the recorder wrote at creation: model, revision, configuration, …"""
        return dict(safe_json(self._root.identity))

    @property
    def created_by(self) -> dict[str, str]:
        """The versions of what created the run."""
        return dict(safe_json(self._root.created_by))

    @property
    def nbytes(self) -> int:
        """Bytes of all committed segments' files, as their markers vouch for them."""
        return sum(segment.nbytes for segment in self._listed.segments.values())

    @property
    def damage(self) -> list[str]:
        """What is wrong with the commit markers, a sentence each."""
        return list(self._listed.damage)

    @property
    def sample_keys(self) -> Mapping[str, str]:
        """Sample id → sample key, of every committed sample: what a resumed recording skips."""
        return MappingProxyType(
            {id: segment.marker.samples[row].key for id, (segment, row) in self._index.items()}
        )

    def refresh(self) -> None:
        """Take in what was committed since the samples were listed."""
        known = self._listing.segments if self._listing else {}
        segments: dict[str, Segment] = {}
        damage: list[str] = []
        for name in self._files.names("commits"):
            segment = commit.segment_of(name)
            try:
                if segment:
                    segments[segment] = known.get(segment) or self._take(segment)
            except (Unreadable, OSError) as error:
                damage.append(
                    f"{self._files.where(f'commits/{name}')} is damaged "
                    f"({safe_text(str(error))}): the samples of this segment are left out; put "
                    "the file back from a copy, or record again."
                )
        self._listing = _Listing(segments, _places(segments), [*damage, *_conflicts(segments)])

    def summary(self) -> SampleTable:
        """All samples at a glance; reads nothing that opening did not."""
        entries = [segment.marker.samples[row] for segment, row in self._index.values()]
        labels = [modality.label for modality in Modality]
        counts = [[entry.modalities.get(label, 0) for label in labels] for entry in entries]
        return SampleTable(
            ids=tuple(self._index),
            n=np.array([entry.n for entry in entries], np.int32),
            T=np.array([entry.T for entry in entries], np.int32),
            modalities=np.array(counts, np.int32).reshape(-1, len(labels)),
            previews=tuple(one_line(entry.preview, PREVIEW_CHARS) for entry in entries),
        )

    def __getitem__(self, id: str) -> Trace:
        if id not in self._index:
            raise UnknownSample(self._unknown(id))
        segment, row = self._index[id]
        with segment.naming(row):
            return segment.trace(row, self._load(segment))

    def __contains__(self, id: object) -> bool:
        return id in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"Run({self.path!r}, {len(self)} samples)"

    def __reduce__(self) -> tuple[type[Run], tuple[Files]]:
        return Run, (self._files,)

    @property
    def _listed(self) -> _Listing:
        while self._listing is None:
            self.refresh()
        return self._listing

    @property
    def _index(self) -> dict[str, tuple[Segment, int]]:
        return self._listed.places

    def _take(self, segment: str) -> Segment:
        data = _document(self._files, commit.marker_name(segment))
        return Segment(self._files, commit.parse_marker(data, segment, self._root.store_uuid))

    def _unknown(self, id: str) -> str:
        close = difflib.get_close_matches(str(id), list(self._index)[:_SUGGEST_AMONG], n=1)
        hint = f" Did you mean '{one_line(close[0])}'?" if close else ""
        damage = f" {len(self.damage)} of its commit markers are damaged." if self.damage else ""
        return (
            f"the run {self.path} has no sample '{one_line(str(id))}' among its {len(self)}."
            f"{hint}{damage} `omnitrace info {self.path}` lists them."
        )


class RunWriter:
    """One process's way of adding samples to a run; many writers may share one run.

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
        self._root = _create_or_join(files, identity)
        self._done = dict(Run(files).sample_keys)
        self._buffer: dict[str, tuple[Trace, str]] = {}
        self._buffered_bytes = 0
        self._since = 0.0

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
        if Path(path).exists() and not Path(path).is_dir():
            raise CommandError(f"{path} is a file; a run is a folder: record into another path.")
        return cls(
            LocalFiles(path),
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

        Raises OmniTraceError if the trace is not legal or its id is in the run already, and what
        `commit` raises.
        """
        if trace.id in self._done or trace.id in self._buffer:
            raise OmniTraceError(f"sample '{one_line(trace.id)}' is in the run already.")
        check_trace(trace, key)
        if not self._buffer:
            self._since, self._buffered_bytes = time.monotonic(), 0
        self._buffer[trace.id] = trace, key
        self._buffered_bytes += _nbytes(trace)
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
        marker = Marker(
            format=commit.FORMAT,
            store_uuid=self._root.store_uuid,
            segment=segment,
            created_at=commit.now(),
            created_by=commit.creator(),
            samples=[_entry(trace, key) for trace, key in self._buffer.values()],
            files=msgspec.Raw(msgspec.json.encode(self._put_segment(segment))),
        )
        name = commit.marker_name(segment)
        with self._writing(name):  # from here on nothing is taken back: the marker may be there
            self._files.put_if_absent(name, commit.new_marker(marker))
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
                entries[name] = commit.vouch([data])
                with self._writing(file_name(segment, name)):
                    self._files.put(file_name(segment, name), data)
            with self._writing(file_name(segment, "")):
                self._files.settle()
        except BaseException:
            for name in reversed(entries):  # without a marker they are invisible in any case
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


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open the run at `path` for reading.

    Raises CommandError if there is no run, OmniTraceError if its root is damaged or was written
    in a format that this version does not read.
    """
    folder = Path(path)
    if not folder.exists():
        raise CommandError(f"there is no run at {path}.")
    if not folder.is_dir():
        raise CommandError(f"{path} is a file; a run is a folder that `omnitrace record` made.")
    return Run(LocalFiles(folder))


def _read_root(files: Files) -> Root:
    try:
        return commit.parse_root(_document(files, ROOT), files.where(""))
    except FileNotFoundError:
        raise CommandError(
            f"{files.where('')} is not a run: it has no {ROOT}. Name a folder that "
            "`omnitrace record` made."
        ) from None
    except (Unreadable, OSError) as error:
        raise OmniTraceError(
            f"{files.where(ROOT)} cannot be read as a run's: {safe_text(str(error))}. Name a "
            "folder that `omnitrace record` made, or put the file back from a copy."
        ) from error


def _document(files: Files, name: str) -> bytes:
    data = files.get(name, 0, _LARGEST_JSON)
    if len(data) == _LARGEST_JSON:
        raise Unreadable(f"it is not shorter than {_LARGEST_JSON} bytes")
    return data


def _create_or_join(files: Files, identity: Mapping[str, Any]) -> Root:
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
    root = _read_root(files)
    _check_identity(files.where(""), _flat(root.identity), _flat(wanted))
    return root


def _check_identity(path: str, there: dict[str, Any], here: dict[str, Any]) -> None:
    missing = "(not set)"
    differing = [
        f"{one_line(key)} is {one_line(repr(there.get(key, missing)))} there, "
        f"{one_line(repr(here.get(key, missing)))} here"
        for key in sorted(there.keys() | here.keys())
        if there.get(key, missing) != here.get(key, missing)
    ]
    if differing:
        shown = "; ".join(differing[:_DIFFERENCES_SHOWN])
        more = len(differing) - _DIFFERENCES_SHOWN
        raise OmniTraceError(
            f"the run {path} was recorded otherwise: {shown}"
            f"{f'; and {more} more' if more > 0 else ''}. Record into another path."
        )


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _entry(trace: Trace, key: str) -> SampleEntry:
    preview = commit.utf8(one_line(trace.response, PREVIEW_CHARS)).decode()
    return SampleEntry(trace.id, key, trace.n, trace.T, preview, modality_counts(trace))


def _nbytes(trace: Trace) -> int:
    """Roughly what a trace takes, uncompressed."""
    signals = sum(rows.values.nbytes for rows in trace.signals.values())
    return signals + 64 * (trace.n + trace.T) + len(trace.prompt_text) + len(trace.response)


def _places(segments: Mapping[str, Segment]) -> dict[str, tuple[Segment, int]]:
    """Sample id → its place; of a sample committed twice, the smallest segment id's."""
    winner: dict[str, str] = {}
    for name in sorted(segments):
        for entry in segments[name].marker.samples:
            winner.setdefault(entry.id, name)
    return {
        entry.id: (segment, row)
        for segment in sorted(segments.values(), key=_age)
        for row, entry in enumerate(segment.marker.samples)
        if winner[entry.id] == segment.marker.segment
    }


def _conflicts(segments: Mapping[str, Segment]) -> list[str]:
    """A sentence for every sample that was committed twice under different keys."""
    first: dict[str, tuple[str, str]] = {}
    return [
        f"sample '{one_line(entry.id)}' was recorded twice from different inputs: segment "
        f"{first[entry.id][0]} is used, {name} is not."
        for name in sorted(segments)
        for entry in segments[name].marker.samples
        if first.setdefault(entry.id, (name, entry.key))[1] != entry.key
    ]


def _age(segment: Segment) -> tuple[float, str]:
    return segment.marker.created_at, segment.marker.segment
