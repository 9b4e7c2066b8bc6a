"""A reading: one way to read the answer of a sample, in place of its tokens.

A new reading is a file with a subclass, and a line in `tui.readings.READINGS`: its key, its entry
in the help and in the command palette, and its place on the screen follow from the class.
"""

from __future__ import annotations

from typing import ClassVar

from tui.session import Session
from tui.trace.state import Answer
from tui.trace.target import TargetTable


class Reading(TargetTable):
    """A table of an answer; `NAME` is its id, `KEY` shows it, `LABEL` describes the key.

    `target` says what a row points at. `WIDE`: it needs twice the width on a large terminal.
    """

    NAME: ClassVar[str]
    KEY: ClassVar[str]
    LABEL: ClassVar[str]
    WIDE: ClassVar[bool] = False

    def __init__(self, session: Session) -> None:
        super().__init__(id=self.NAME)
        self.session = session
        self.display = False
        self.set_class(True, "reading")
        self.set_class(self.WIDE, "-wide-reading")

    def show_answer(self, answer: Answer) -> None:
        """Show an answer; called for each new one while the reading is on the screen."""
        raise NotImplementedError
