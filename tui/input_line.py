"""One line in which the user types: a search, a place to go to, a value, a file's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from tui.draw.layout import visible


class InputLine(Input):
    """A line above the footer, there only while it has the focus; Escape closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave")]

    @dataclass
    class Typed(Message):
        """The text so far, or (`done`) the final one; None: the line was closed by Escape."""

        purpose: str
        text: str | None
        done: bool

    def __init__(self) -> None:
        super().__init__(id="input-line", compact=True, select_on_focus=False)
        self.purpose = ""
        self._before: Widget | None = None  # where the focus goes back to
        self.display = False

    def open(self, purpose: str, hint: str, text: str = "") -> None:
        """Open the line with a hint and a text; what is typed comes as `Typed` with `purpose`."""
        with self.prevent(Input.Changed):
            self.purpose, self.placeholder, self.value = purpose, hint, text
        self.cursor_position = len(text)
        self._before = self.screen.focused
        self.display = True
        self.screen.set_focus(self)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        safe = visible(self.value)
        if safe != self.value:  # pasted, perhaps from an untrusted text
            self.value = safe
            return
        self.post_message(self.Typed(self.purpose, self.value, done=False))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close(self.value)

    def action_leave(self) -> None:
        self._close(None)

    def on_blur(self) -> None:
        self.display = self.screen.focused is self  # it may have been opened again

    def _close(self, text: str | None) -> None:
        self.display = False
        self.screen.set_focus(self._before)
        self.post_message(self.Typed(self.purpose, text, done=True))
