"""Files in a run that are not part of it: left by killed writers, or of writers at work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from omnitrace.store import commit
from omnitrace.store.columns import OFFSET
from omnitrace.store.files import TEMPORARY, Entry, Files


@dataclass
class Orphan:
    """Files that no marker lists: those of a segment, or a temporary one.

    `name` is the folder's or the file's name in the run; `segment` is empty for a file.
    """

    name: str
    segment: str = ""
    files: list[Entry] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        return sum(entry.size for entry in self.files)

    @property
    def modified(self) -> float:
        """When the latest of the files was written, by the medium's clock."""
        return max(entry.modified for entry in self.files)

    @property
    def is_complete(self) -> bool:
        """Whether the file that a writer puts last is there: only the marker is missing."""
        last = f"{self.name}/{OFFSET}/c."
        return bool(self.segment) and any(entry.name.startswith(last) for entry in self.files)


def orphans(files: Files) -> Iterator[Orphan]:
    """Segments without a marker, complete or not, and temporary files.

    A segment that is committed during the walk is none: markers are listed after segments.
    """
    found: dict[str, Orphan] = {}
    for entry in files.walk():
        folders = entry.name.split("/")
        if folders[-1].startswith(TEMPORARY):
            yield Orphan(entry.name, files=[entry])
        elif folders[0] == "segments" and len(folders) > 2 and commit.is_uuid(folders[1]):
            new = Orphan("/".join(folders[:2]), folders[1])
            found.setdefault(folders[1], new).files.append(entry)
    committed = {commit.uuid_of(name) for name in files.names("commits")}
    yield from (orphan for name, orphan in sorted(found.items()) if name not in committed)
