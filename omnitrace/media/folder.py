"""A folder of media: a file is a recorded medium if its name and its sha256 say so.

A recording's names are data, never paths: they are compared with the names of files that are there.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from omnitrace.errors import CommandError
from omnitrace.timeline import Medium

MOST_FILES = 10**6


@dataclass(frozen=True)
class MediaFolder:
    """The files below `root`, at any depth, by name. They are listed at the first search."""

    root: Path
    _known: dict[tuple[str, str], Path] = field(default_factory=dict, repr=False)

    def find(self, medium: Medium) -> Path | None:
        """The file with the name and the content of a medium, None if there is none.

        OSError if it is none of the readable files, and one cannot be read.
        """
        key = medium.name, medium.sha256
        if key in self._known:
            return self._known[key]
        unreadable: OSError | None = None
        for path in self.named(medium):
            try:
                if _sha256(path) == medium.sha256:
                    self._known[key] = path
                    return path
            except OSError as error:
                unreadable = error
        if unreadable is not None:
            raise unreadable
        return None

    def named(self, medium: Medium) -> list[Path]:
        """The files with the last part of a medium's name, `/` or `\\` before it, sorted.

        CommandError if the folder holds more than MOST_FILES files.
        """
        name = medium.name.replace("\\", "/").rpartition("/")[2]
        return sorted(path for path in self._by_name.get(name, ()) if path.is_file())

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        files: dict[str, list[Path]] = {}
        count = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                files.setdefault(name, []).append(Path(folder) / name)
            count += len(names)
            if count > MOST_FILES:
                raise CommandError(f"{self.root} holds over {MOST_FILES:,} files; name a smaller.")
        return files


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
