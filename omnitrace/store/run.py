"""Runs: many samples recorded into one place, read as a mapping (writer.py writes them).

The rule of the store: a segment exists when its commit marker does (docs/format.md). Knows files
by name only, so that a run may be on any `Files`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from omnitrace.arrays import Int32
from omnitrace.errors import CommandError, Fault, OmniTraceError
from omnitrace.store import commit
from omnitrace.store.additions import Additions, LazyMapping
from omnitrace.store.columns import safe_json
from omnitrace.store.commit import Root, Unreadable
from omnitrace.store.files import Files, LocalFiles, each, get_document
from omnitrace.store.kinds import ABLATIONS, SEGMENTATION, TAGS
from omnitrace.store.s3 import S3Files, s3_url
from omnitrace.store.segment import Segment
from omnitrace.text import one_line, safe_text
from omnitrace.timeline import Modality
from omnitrace.trace import Trace

ROOT = "zarr.json"
PREVIEW_CHARS = 80
_LOADED_SEGMENTS = 4
_SUGGEST_AMONG = 1000


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
    """The content of the markers when they were last read; `places` in the order of recording."""

    segments: dict[str, Segment]
    places: dict[str, tuple[Segment, int]]
    faults: list[Fault]


class Run(Mapping[str, Trace]):
    """The samples of a run by id, in the order of recording; a trace is read on access.

    Opening reads the root; the first access to the samples reads the commit markers. Their damage
    is in `damage`, and the rest remains usable; damage of a segment is a SampleError when a sample
    of it is read. What was added to samples later is listed at the first access to it or to
    `damage`. May be used from several threads.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._root = read_root(files)
        self._listing: _Listing | None = None
        self._additions: Additions | None = None
        self._load: Callable[[Segment], dict[str, Any]] = lru_cache(_LOADED_SEGMENTS)(Segment.load)

    @property
    def path(self) -> str:
        """The folder or address of the run."""
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
        """Bytes of all committed segments' files, by their markers."""
        return sum(segment.nbytes for segment in self._listed.segments.values())

    @property
    def files(self) -> Files:
        """The files of the run: for what adds to it."""
        return self._files

    @property
    def store_uuid(self) -> str:
        """What identifies the run."""
        return self._root.store_uuid

    @property
    def damage(self) -> list[str]:
        """What is wrong with the commit markers and the additions, a sentence each."""
        return [fault.sentence for fault in self.faults]

    @property
    def faults(self) -> list[Fault]:
        """The same with the name of the file that each is about."""
        return [*self._listed.faults, *self.additions.faults]

    @property
    def segments(self) -> Mapping[str, Segment]:
        """The committed segments by name."""
        return MappingProxyType(self._listed.segments)

    @property
    def additions(self) -> Additions:
        """What was added to the recorded samples: segmentations, tags, ablations."""
        found = self._additions
        if found is None:
            found = self._additions = Additions(self._files, self.store_uuid, self.sample_keys)
        return found

    @property
    def sample_keys(self) -> Mapping[str, str]:
        """Sample id → sample key, of every committed sample: what a resumed recording skips."""
        return MappingProxyType(
            {id: segment.marker.samples[row].key for id, (segment, row) in self._index.items()}
        )

    def segment_of(self, id: str) -> str:
        """The segment that a sample is read from."""
        return self._index[id][0].marker.segment

    def content_id(self, id: str) -> str:
        """Identifies the recorded content of the sample: the digest of its segment's files and its
        row in them. A key for caches of what is computed from it."""
        if id not in self._index:
            raise UnknownSample(self._unknown(id))
        segment, row = self._index[id]
        return f"{sha256(bytes(segment.marker.files)).hexdigest()}:{row}"

    def vouched(self, id: str) -> str:
        """The old name of `content_id`."""
        return self.content_id(id)

    def refresh(self) -> None:
        """Read what was committed or added since the samples were listed."""
        known = self._listing.segments if self._listing else {}
        names = [name for name in map(commit.uuid_of, self._files.names("commits")) if name]
        taken = each(self._files, lambda name: known.get(name) or self._take(name), names)
        segments: dict[str, Segment] = {}
        faults: list[Fault] = []
        for name, found in zip(names, taken, strict=True):
            if isinstance(found, Fault):
                faults.append(found)
            else:
                segments[name] = found
        self._additions = None
        self._listing = _Listing(segments, _places(segments), [*faults, *_conflicts(segments)])

    def summary(self) -> SampleTable:
        """All samples at a glance; reads the markers only."""
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
            trace = segment.trace(row, self._load(segment))
        return replace(
            trace,
            segmentations=LazyMapping(lambda: self.additions.of(SEGMENTATION, trace)),
            taggings=LazyMapping(lambda: self.additions.of(TAGS, trace)),
            ablations=LazyMapping(lambda: self.additions.of(ABLATIONS, trace)),
        )

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

    def _take(self, name: str) -> Segment | Fault:
        marker = commit.marker_name(name)
        try:
            data = get_document(self._files, marker)
            return Segment(self._files, commit.parse_marker(data, name, self._root.store_uuid))
        except (Unreadable, OSError) as error:
            return Fault(
                marker,
                f"{self._files.where(marker)} is damaged ({safe_text(str(error))}): the samples "
                "of this segment are left out; put the file back from a copy, or record again.",
            )

    def _unknown(self, id: str) -> str:
        close = difflib.get_close_matches(str(id), list(self._index)[:_SUGGEST_AMONG], n=1)
        hint = f" Did you mean '{one_line(close[0])}'?" if close else ""
        damaged = len(self._listed.faults)
        damage = f" {damaged} of its commit markers are damaged." if damaged else ""
        return (
            f"the run {self.path} has no sample '{one_line(str(id))}' among its {len(self)}."
            f"{hint}{damage} `omnitrace info {self.path}` lists them."
        )


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open the run at `path`, a folder or `s3://bucket/prefix`, for reading.

    Raises CommandError if there is no run, OmniTraceError if its root is damaged or was written
    in a format that this version does not read.
    """
    return Run(run_files(path))


def run_files(path: str | os.PathLike[str]) -> Files:
    """The files of what should be a run at `path`; CommandError if there is nothing."""
    url = s3_url(path)
    if url:
        return S3Files(url)
    folder = Path(path)
    if not folder.exists():
        raise CommandError(f"there is no run at {path}.")
    if not folder.is_dir():
        raise CommandError(f"{path} is a file; a run is a folder that `omnitrace record` made.")
    return LocalFiles(folder)


def new_files(path: str | os.PathLike[str]) -> Files:
    """Where a run may be made or joined; CommandError if there is something else at `path`."""
    url = s3_url(path)
    if url:
        return S3Files(url)
    if Path(path).exists() and not Path(path).is_dir():
        raise CommandError(f"{path} is a file; a run is a folder: name another path.")
    return LocalFiles(path)


def is_run(path: str | os.PathLike[str]) -> bool:
    """Whether there is something at `path` that may be a run; what, `run_files` looks."""
    return bool(S3Files(url).names()) if (url := s3_url(path)) else Path(path).exists()


def read_root(files: Files) -> Root:
    try:
        return commit.parse_root(get_document(files, ROOT), files.where(""))
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


def _conflicts(segments: Mapping[str, Segment]) -> list[Fault]:
    """A fault for every sample that was committed twice under different keys."""
    first: dict[str, tuple[str, str]] = {}
    return [
        Fault(
            commit.marker_name(name),
            f"sample '{one_line(entry.id)}' was recorded twice from different inputs: segment "
            f"{first[entry.id][0]} is used, {name} is not.",
        )
        for name in sorted(segments)
        for entry in segments[name].marker.samples
        if first.setdefault(entry.id, (name, entry.key))[1] != entry.key
    ]


def _age(segment: Segment) -> tuple[float, str]:
    return segment.marker.created_at, segment.marker.segment
