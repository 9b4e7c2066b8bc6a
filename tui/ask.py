"""One line in which the reader types: a search, a place to go to, a file's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from tui.draw.layout import visible


class Ask(Input):
    """A line above the footer, there only while something is asked for; Escape leaves it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave")]

    @dataclass
    class Typed(Message):
        """What is typed so far, or (`done`) given; None: the reader left without an answer."""

        purpose: str
        text: str | None
        done: bool

    def __init__(self, id: str = "ask") -> None:
        super().__init__(id=id, compact=True, select_on_focus=False)
        self.purpose = ""
        self._before: Widget | None = None  # where the focus goes back to
        self.display = False

    def ask(self, purpose: str, hint: str, text: str = "") -> None:
        """Begin to ask; what is typed comes as `Typed` with this purpose."""
        with self.prevent(Input.Changed):
            self.purpose, self.placeholder, self.value = purpose, hint, text
        self.cursor_position = len(text)
        self._before = self.screen.focused
        self.display = True
        self.screen.set_focus(self)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        safe = visible(self.value)
        if safe != self.value:  # pasted, perhaps from a stranger's text
            self.value = safe
            return
        self.post_message(self.Typed(self.purpose, self.value, done=False))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._answer(self.value)

    def action_leave(self) -> None:
        self._answer(None)

    def on_blur(self) -> None:
        self.display = self.screen.focused is self  # asked again, perhaps

    def _answer(self, text: str | None) -> None:
        self.display = False
        self.screen.set_focus(self._before)
        self.post_message(self.Typed(self.purpose, text, done=True))
