"""Disk usage of a run by part: bytes and files of signals, levels and the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from omnitrace.attention import HEAD_ARRAYS, QUERY_KEY_ARRAYS
from omnitrace.maintenance.orphans import orphans
from omnitrace.store.files import Files
from omnitrace.store.run import Run

LEVELS = dict.fromkeys(HEAD_ARRAYS, "heads") | dict.fromkeys(QUERY_KEY_ARRAYS, "qk")
LAYERED = ("attention", "gradients")
"""Signals that level `layers` keeps."""


@dataclass(frozen=True)
class Part:
    """One part of a run: its `kind` (signal, array, column, additions, bookkeeping,
    uncommitted), its name and level where it has one, its bytes and files."""

    kind: str
    name: str
    level: str
    nbytes: int
    files: int


@dataclass(frozen=True)
class Usage:
    """The disk usage of `samples` samples, largest part first. On a disk, files and folders are
    inodes."""

    parts: tuple[Part, ...]
    samples: int
    segments: int
    nbytes: int
    files: int
    folders: int


def usage(files: Files) -> Usage:
    """Walk the run once; reads the root and the markers only."""
    run = Run(files)
    left = {entry.name for orphan in orphans(files) for entry in orphan.files}
    nbytes, count = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    folders = {""}
    for entry in files.walk():
        part = ("uncommitted", "") if entry.name in left else _part(entry.name)
        nbytes[part] += entry.size
        count[part] += 1
        steps = entry.name.split("/")[:-1]
        folders |= {"/".join(steps[: depth + 1]) for depth in range(len(steps))}
    parts = [Part(*part, _level(*part), nbytes[part], count[part]) for part in nbytes]
    return Usage(
        parts=tuple(sorted(parts, key=lambda part: (-part.nbytes, part.kind, part.name))),
        samples=len(run),
        segments=len(run.segments),
        nbytes=nbytes.total(),
        files=count.total(),
        folders=len(folders),
    )


def _part(name: str) -> tuple[str, str]:
    """Kind and name of the part that a file belongs to."""
    folders = name.split("/")
    if folders[0] == "additions":
        return "additions", ""
    if folders[0] != "segments" or len(folders) < 4 or folders[2] == "offset":
        return "bookkeeping", ""
    kind, _, of = folders[2].partition(".")
    if kind in ("signal", "first_row") and of:
        return "signal", of
    return ("array", of) if kind == "array" and of else ("column", folders[2])


def _level(kind: str, name: str) -> str:
    if kind == "array":
        return LEVELS.get(name, "")
    if kind == "signal":
        return "layers" if name in LAYERED else "tokens"
    return ""
