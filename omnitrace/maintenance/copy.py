"""Copies of a run, and unions of several, on any medium; running the same again resumes.

Segments and additions are copied under their own UUIDs, each file checked against its marker, the
marker last: a copy that is killed is a run like any other. Where two runs hold the same sample,
readers use the one that `omnitrace.store.run` chooses (the smallest segment UUID).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.progress import Progress, Report
from omnitrace.store import additions, commit
from omnitrace.store.additions import FOLDER
from omnitrace.store.commit import FileEntry, Marker, Unreadable
from omnitrace.store.files import Files, each, get_document
from omnitrace.store.run import ROOT, Run, read_root
from omnitrace.store.segment import BLOCK, file_name, reading
from omnitrace.store.writer import create_or_join
from omnitrace.text import one_line, safe_text


@dataclass
class CopySummary:
    """What was copied: numbers of segments, of their samples and bytes, of additions; how many
    segments were `there` already; and what was left out because it is damaged, a sentence each."""

    segments: int = 0
    samples: int = 0
    nbytes: int = 0
    additions: int = 0
    there: int = 0
    damage: list[str] = field(default_factory=list)


def copy(source: Files, target: Files, report: Report) -> CopySummary:
    """Copy to `target` what it lacks of the run `source`.

    Raises CommandError if something else is there, OmniTraceError if it cannot be written.
    """
    root = read_root(source)
    with writing(target):
        if not target.names():
            target.put_if_absent(ROOT, get_document(source, ROOT))
    if ROOT not in target.names():
        raise CommandError(f"{target.where('')} holds other files and is not a run.")
    if read_root(target).store_uuid != root.store_uuid:
        raise CommandError(
            f"{target.where('')} holds another run: copy to another place, or unite the two with "
            "`omnitrace merge`."
        )
    return _take(Run(source), target, root.store_uuid, CopySummary(), report)


def merge(sources: Sequence[Files], target: Files, report: Report) -> CopySummary:
    """Copy all of `sources`, which must have the same identity, into `target`, old or new.

    Raises OmniTraceError naming what differs, or if `target` cannot be written.
    """
    summary = CopySummary()
    roots = [read_root(files) for files in sources]
    for root in roots:  # all, before anything is copied
        joined = create_or_join(target, root.identity)
    for files in sources:
        _take(Run(files), target, joined.store_uuid, summary, report)
    return summary


@dataclass(frozen=True)
class _Transfer:
    """Copies parts of one run to another place."""

    source: Files
    target: Files
    store_uuid: str
    summary: CopySummary

    def segment(self, marker: Marker) -> None:
        """Copy what the marker lists, then the marker; Unreadable if a file is damaged."""
        name = commit.marker_name(marker.segment)
        entries = marker.parse_files()
        names = {file_name(marker.segment, file): entry for file, entry in entries.items()}
        contents = each(self.source, lambda name: self._checked(name, names[name]), names)
        pairs = zip(names, contents, strict=True)
        for _ in each(self.target, lambda pair: self._put(pair[0], names[pair[0]], pair[1]), pairs):
            pass
        self._document(name)
        self.summary.segments += 1
        self.summary.samples += len(marker.samples)
        self.summary.nbytes += sum(entry.size for entry in entries.values())

    def addition(self, name: str) -> None:
        self._document(name)
        self.summary.additions += 1

    def _document(self, name: str) -> None:
        data = commit.amend(get_document(self.source, name), store_uuid=self.store_uuid)
        with writing(self.target):
            self.target.put_if_absent(name, data)

    def _checked(self, name: str, entry: FileEntry) -> bytes:
        """A file's bytes; Unreadable, naming it, unless they are what the marker says."""
        with reading(name):
            if self.source.size(name) != entry.size:
                raise Unreadable("its size is not what the marker says")
            data = self.source.get(name)
        if commit.file_entry([data]) != entry:
            raise Unreadable("its checksums are not what the marker says", name)
        return data

    def _put(self, name: str, entry: FileEntry, data: bytes) -> None:
        """Put a complete file, unless another process that copies the same has put it."""
        with writing(self.target):
            if self.target.put_if_absent(name, data):
                return
            starts = range(0, entry.size, BLOCK)
            if commit.file_entry(self.target.get(name, start, BLOCK) for start in starts) != entry:
                raise OmniTraceError(
                    f"{self.target.where(name)} is there with other content: remove it, or wait "
                    "until its writer is done, and copy again."
                )


def _take(
    run: Run, target: Files, store_uuid: str, summary: CopySummary, report: Report
) -> CopySummary:
    transfer = _Transfer(run.files, target, store_uuid, summary)
    summary.damage += run.damage
    there = set(target.names("commits"))
    for number, (name, segment) in enumerate(run.segments.items()):
        report(Progress(number, len(run.segments), name))
        if f"{name}.json" in there:
            summary.there += 1
            continue
        try:
            transfer.segment(segment.marker)
        except (Unreadable, OSError) as error:
            summary.damage.append(_left_out(run.files, name, error))
    report(Progress(len(run.segments), len(run.segments)))
    _take_additions(run, transfer)
    return summary


def _take_additions(run: Run, transfer: _Transfer) -> None:
    """Copy every addition that can be read; the others are in `Run.damage`."""
    for file in sorted(set(run.files.names(FOLDER)) - set(transfer.target.names(FOLDER))):
        addition = commit.uuid_of(file)
        with suppress(Unreadable, OSError):
            if addition and run.additions.read(addition):
                transfer.addition(additions.where(addition))


def _left_out(source: Files, segment: str, error: Unreadable | OSError) -> str:
    """A sentence about a segment that cannot be copied."""
    file = (error.file if isinstance(error, Unreadable) else "") or commit.marker_name(segment)
    why = error.strerror if isinstance(error, OSError) else ""
    return (
        f"segment {segment} is left out: {source.where(file)}: {safe_text(why or str(error))}. "
        "Put the file back from a copy and run the same again."
    )


@contextmanager
def writing(target: Files) -> Iterator[None]:
    """Convert OSErrors into an OmniTraceError naming the file and what to do."""
    try:
        yield
    except OSError as error:
        raise OmniTraceError(
            f"cannot write {one_line(str(error.filename or target.where('')), 400)}: "
            f"{error.strerror or error}. What was copied before is kept: run the same again."
        ) from error
