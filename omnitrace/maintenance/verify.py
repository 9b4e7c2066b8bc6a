"""Verification of a run: every file against its marker, and the content of the files.

Reads everything and changes nothing. Damage is distinguished from what is harmless.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.maintenance.orphans import orphans
from omnitrace.progress import Progress, Report, no_report
from omnitrace.store import additions, commit
from omnitrace.store.additions import FOLDER, Addition
from omnitrace.store.columns import modality_counts
from omnitrace.store.commit import FileEntry, Marker, Unreadable
from omnitrace.store.files import Files, each
from omnitrace.store.run import PREVIEW_CHARS, ROOT, Run
from omnitrace.store.segment import BLOCK, Segment, file_name
from omnitrace.text import one_line, safe_text
from omnitrace.trace import Trace


@dataclass(frozen=True)
class Finding:
    """One result: the `file` that it is about, a `sentence` that names it, and whether it is
    `damage`; otherwise it is harmless."""

    file: str
    sentence: str
    damage: bool = True


def verify(files: Files, deep: bool = False, report: Report = no_report) -> Iterator[Finding]:
    """All damage of the run in `files`, and then what is harmless.

    Every file must exist with its size and checksums; if `deep`, every chunk must decode, every
    trace be legal and agree with its marker, every addition be legal for its sample.
    Raises CommandError if there is no run at all.
    """
    try:
        run = Run(files)
        faults = run.faults
    except CommandError:
        if not files.names("commits"):
            raise
        gone = f"{files.where(ROOT)} is absent: put it back from a copy."
        yield Finding(files.where(ROOT), gone)
        return
    except OmniTraceError as error:
        yield Finding(files.where(ROOT), str(error))
        return
    yield from (Finding(files.where(fault.name), fault.sentence) for fault in faults)
    for number, segment in enumerate(run.segments.values()):
        report(Progress(number, len(run.segments), segment.marker.segment))
        yield from _segment_findings(files, segment, deep)
    if deep:
        yield from _addition_findings(run)
    yield from _remarks(files)
    report(Progress(len(run.segments), len(run.segments)))


def _segment_findings(files: Files, segment: Segment, deep: bool) -> Iterator[Finding]:
    marker = segment.marker
    try:
        entries = marker.parse_files()
    except Unreadable as error:
        yield _finding(files, marker, "", str(error))
        return
    intact = True
    paths = {name: file_name(marker.segment, name) for name in entries}
    errors = each(files, lambda name: _file_error(files, paths[name], entries[name]), entries)
    for name, why in zip(entries, errors, strict=True):
        if why:
            intact = False
            yield _finding(files, marker, name, why)
    listed = set(paths.values())
    for found in files.walk(f"segments/{marker.segment}"):
        if found.name not in listed:
            where = files.where(found.name)
            yield Finding(where, f"{safe_text(where)} is not part of the run.", damage=False)
    if deep and intact:
        yield from _deep_findings(files, segment)


def _file_error(files: Files, name: str, entry: FileEntry) -> str:
    """What is wrong with a file; empty if it agrees with the marker."""
    try:
        size = files.size(name)
        if size != entry.size:
            return f"it has {size} bytes, not {entry.size}"
        starts = range(0, size, BLOCK)
        if commit.file_entry(files.get(name, start, BLOCK) for start in starts) != entry:
            return "its checksums are not what the marker says"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _deep_findings(files: Files, segment: Segment) -> Iterator[Finding]:
    marker = segment.marker
    try:
        columns = segment.load()
    except Unreadable as error:
        yield _finding(files, marker, error.file, str(error))
        return
    for row in range(len(marker.samples)):
        try:
            trace = segment.trace(row, columns)
            _read_all(trace)
        except Unreadable as error:
            yield _finding(files, marker, error.file, str(error))
        except OmniTraceError as error:
            yield Finding(segment.where(_file_of(error)), str(error))
        else:
            yield from _marker_findings(files, marker, row, trace)


def _read_all(trace: Trace) -> None:
    """Read the signals and arrays, which a trace leaves on disk."""
    for stored in (trace.signals, trace.arrays):
        for name in stored:
            stored[name]


def _file_of(error: OmniTraceError) -> str:
    return error.__cause__.file if isinstance(error.__cause__, Unreadable) else ""


def _marker_findings(files: Files, marker: Marker, row: int, trace: Trace) -> Iterator[Finding]:
    """Whether the facts that the marker repeats for listings agree with the segment."""
    entry = marker.samples[row]
    preview = one_line(trace.response, PREVIEW_CHARS)
    if entry.modalities != modality_counts(trace) or safe_text(entry.preview) != preview:
        why = f"it describes sample '{one_line(entry.id)}' otherwise than its segment"
        yield _finding(files, marker, "", why)


def _addition_findings(run: Run) -> Iterator[Finding]:
    """Data of additions that is not legal for its sample."""
    keys = run.sample_keys
    for name in filter(None, map(commit.uuid_of, run.files.names(FOLDER))):
        try:
            found = run.additions.read(name)
        except (OSError, Unreadable):
            continue  # reported as a fault of the run
        for number, sample in enumerate(found.samples):
            if keys.get(sample.id) == sample.key:
                yield from _added_findings(run, found, number)


def _added_findings(run: Run, found: Addition, number: int) -> Iterator[Finding]:
    id = found.samples[number].id
    try:
        additions.check(found, number, run[id])
    except Unreadable as error:
        where = run.files.where(additions.where(found.addition))
        yield Finding(
            where,
            f"{where}: what it adds to sample '{one_line(id)}' is not legal "
            f"({safe_text(str(error))}). Delete it and make it again.",
        )
    except OmniTraceError:
        return  # the sample itself is damaged: reported with its segment


def _remarks(files: Files) -> Iterator[Finding]:
    for orphan in orphans(files):
        where = files.where(orphan.name)
        if orphan.is_complete:
            marker = files.where(commit.marker_name(orphan.segment))
            yield Finding(
                marker,
                f"{marker} is absent, but all that it vouched for may be there: put it back from "
                "a copy. If it never was, its writer was killed before it could commit: "
                "`omnitrace gc` removes the rest.",
            )
        else:
            sentence = f"{where} was left by a writer that was killed, or is at work."
            yield Finding(where, safe_text(sentence), damage=False)


def _finding(files: Files, marker: Marker, name: str, why: str) -> Finding:
    of_marker = commit.marker_name(marker.segment)
    where = files.where(file_name(marker.segment, name) if name else of_marker)
    sentence = (
        f"{where}: {safe_text(why)}. Put the file back from a copy, or delete "
        f"{files.where(of_marker)} and record its {len(marker.samples)} samples again."
    )
    return Finding(where, sentence)
