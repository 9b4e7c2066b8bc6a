"""Files that the user saves: written whole or not at all, replaced only when confirmed."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from omnitrace.atomic import atomic_write
from tui.input_line import InputLine
from tui.status import StatusLine


@dataclass
class Saver:
    """Saves text to files. Where there is a file of that name, the input line opens once more:
    a second attempt replaces it."""

    input: InputLine
    status: StatusLine
    _last: Path | None = None

    def save(self, name: str, content: str, done: str) -> None:
        """Write a file and show `done` with its path; CommandError if it cannot be written."""
        path = Path(name).expanduser()
        confirmed, self._last = self._last == path, path
        if path.exists() and not confirmed:
            self.input.open(self.input.purpose, "", name)
            warning = f"{path} is there already: Enter replaces it, Escape does not."
            self.status.show_status(warning, wrong=True)
            return
        with atomic_write(path) as temporary:
            temporary.write_text(content, "utf-8")
        self._last = None
        self.status.show_status(f"{done} {shlex.quote(str(path))}")
