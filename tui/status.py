"""One line above the footer: the result of the last action, or its error."""

from __future__ import annotations

from tui.draw.lines import Lines


class StatusLine(Lines, can_focus=False):
    """A message, there until another one replaces it; without any, no line."""

    def __init__(self) -> None:
        super().__init__("status")
        self.display = False

    def show_status(self, text: str, wrong: bool = False) -> None:
        """Show a message, or (`wrong`) an error; an empty one hides the line."""
        self.display = bool(text)
        self.show_message(text, wrong)
