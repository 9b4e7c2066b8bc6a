"""The reader's folder of media: a file is a run's medium if its name and its sha256 say so.

A run's names are data, never paths: they are compared with the names of files that are there.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from omnitrace import CommandError, OmniTraceError
from omnitrace.text import one_line
from omnitrace.timeline import Medium

_MOST_FILES = 10**6


@dataclass
class MediaFolder:
    """The files below `root`, by name; `find` says which one a medium is."""

    root: Path
    _known: dict[tuple[str, str], Path] = field(default_factory=dict)

    def find(self, medium: Medium) -> Path:
        """The file of a medium; OmniTraceError saying why there is none."""
        key = medium.name, medium.sha256
        if key not in self._known:
            self._known[key] = self._search(medium)
        return self._known[key]

    def _search(self, medium: Medium) -> Path:
        name = medium.name.replace("\\", "/").rsplit("/", 1)[-1]
        candidates = self._by_name.get(name, [])
        for path in candidates:
            try:
                if _sha256(path) == medium.sha256:
                    return path
            except OSError as error:
                said = f"{one_line(name)} cannot be read: {error.strerror}."
                raise OmniTraceError(said) from error
        if candidates:
            raise OmniTraceError(f"{one_line(name)} there is another file than was recorded.")
        raise OmniTraceError(f"{one_line(name)} is not in {self.root}.")

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        if not self.root.is_dir():
            raise CommandError(f"there is no folder {self.root}.")
        found: dict[str, list[Path]] = {}
        count = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                found.setdefault(name, []).append(Path(folder) / name)
            count += len(names)
            if count > _MOST_FILES:
                raise CommandError(f"{self.root} holds over {_MOST_FILES:,} files; name a smaller.")
        return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
