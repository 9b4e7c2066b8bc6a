"""Removing what killed writers left in a run. Never touches anything that is committed.

What has no marker is left alone until it is old: its writer may be at work. Ages are by the
medium's own clock, so that a machine whose clock is wrong removes nothing too early.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from omnitrace.errors import OmniTraceError
from omnitrace.maintenance.orphans import Orphan, orphans
from omnitrace.store.files import Files
from omnitrace.store.run import Run


@dataclass(frozen=True)
class Leftover:
    """Files that no marker lists: where they are, their bytes and number, their age in hours, and
    whether they are old enough to be removed."""

    where: str
    nbytes: int
    files: int
    hours: float
    old: bool


@dataclass(frozen=True)
class Superseded:
    """A committed segment whose samples are all read from others. It is kept."""

    where: str
    nbytes: int
    samples: int


def collect(files: Files, older_than: float, dry_run: bool) -> Iterator[Leftover]:
    """Remove orphan segments and temporary files older than `older_than` hours; yields all.

    Raises OmniTraceError naming a file that cannot be removed.
    """
    now = _now(files, dry_run)
    for orphan in list(orphans(files)):
        hours = (now - orphan.modified) / 3600
        left = Leftover(
            files.where(orphan.name), orphan.nbytes, len(orphan.files), hours, hours > older_than
        )
        if left.old and not dry_run:
            _remove(files, orphan)
        yield left


def superseded(run: Run) -> Iterator[Superseded]:
    """Segments that are committed and not read, because others hold all of their samples."""
    read = {run.segment_of(id) for id in run}
    for name, segment in run.segments.items():
        if name not in read:
            where = run.files.where(f"segments/{name}")
            yield Superseded(where, segment.nbytes, len(segment.marker.samples))


def _now(files: Files, dry_run: bool) -> float:
    """The medium's time; where it cannot be written, the time of its latest file."""
    try:
        return files.now()
    except OSError as error:
        if dry_run:
            return max((entry.modified for entry in files.walk()), default=0.0)
        raise OmniTraceError(
            f"nothing can be removed from {files.where('')}: {error.strerror or error}."
        ) from error


def _remove(files: Files, orphan: Orphan) -> None:
    """Remove the files, deepest first, unless the segment has been committed since."""
    if f"{orphan.segment}.json" in files.names("commits"):
        return
    for entry in sorted(orphan.files, key=lambda entry: entry.name.count("/"), reverse=True):
        try:
            files.remove(entry.name)
        except OSError as error:
            raise OmniTraceError(
                f"cannot remove {files.where(entry.name)}: {error.strerror or error}."
            ) from error
