"""The browser's application: its screens, its keys that hold everywhere, its style sheet."""

from __future__ import annotations

import sys
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from omnitrace import CommandError, Run
from replay import PRESETS, ReplayConfig
from tui.help import HelpScreen, key_rows
from tui.runs import RunScreen


class BrowseApp(App[None]):
    """`run` on a terminal, opened at `sample`; `config`, if given, is tried before the presets."""

    TITLE = "OmniTrace"
    CSS_PATH = "browse.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "change_theme", "Theme"),
        Binding("question_mark", "keys", "Keys", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(
        self, run: Run, sample: str | None = None, config: ReplayConfig | None = None
    ) -> None:
        super().__init__()
        self.records, self.sample = run, sample
        self.configs = ({"custom": config} if config else {}) | PRESETS

    def on_mount(self) -> None:
        table = self.records.summary()
        screen = RunScreen(self.records, table, self.records.damage, self.configs)
        self.push_screen(screen)
        if self.sample is not None:
            screen.call_after_refresh(screen.read, table.ids.index(self.sample))
        elif len(table) == 1:
            screen.call_after_refresh(screen.read, 0)

    def action_keys(self) -> None:
        """Show the keys of the current screen."""
        self.push_screen(HelpScreen(key_rows(self.screen)))


def browse(run: Run, sample: str | None = None) -> None:
    """Read a run in the terminal; returns when the reader quits.

    CommandError if there is no such sample, or no terminal.
    """
    if sample is not None:
        run[sample]
    if not all(stream and stream.isatty() for stream in (sys.__stdin__, sys.__stderr__)):
        raise CommandError(
            "browse needs a terminal; to read a run without one, use omnitrace replay RUN --json."
        )
    BrowseApp(run, sample).run()
