"""The browser's application: its screens, the keys of all screens, its style sheet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from omnitrace import CommandError, Run
from omnitrace.media.folder import MediaFolder
from replay import PRESETS, ReplayConfig
from replay.cache import MassCache, default_folder
from tui.commands import commands_of
from tui.hangup import on_hangup
from tui.help import HelpScreen, key_rows
from tui.labels import Labels
from tui.look import Look, default_path, load_look, save_look
from tui.media.cache import MediaCache
from tui.runs.screen import RunScreen
from tui.session import History, Session


@dataclass(frozen=True)
class Start:
    """The start: at a step (from 1) of a sample, under a configuration; with labels and a folder
    of media."""

    sample: str | None = None
    step: int = 1
    config: ReplayConfig | None = None
    labels: Labels | None = None
    media: Path | None = None


class BrowseApp(App[None]):
    """`run` on a terminal, from `start`, with a `look`; `session` holds the user's choices."""

    TITLE = "OmniTrace"
    CSS_PATH = Path(__file__).with_name("browse.tcss")
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "change_theme", "Theme", show=False),
        Binding("ctrl+p", "command_palette", "Commands", show=False),
        Binding("question_mark", "keys", "Keys", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, run: Run, start: Start | None = None, look: Look | None = None) -> None:
        super().__init__()
        self.start = start or Start()
        presets = PRESETS if self.start.config is None else {"custom": self.start.config} | PRESETS
        self.session = Session(run, History.of(presets), look or Look(), self.start.labels)
        if self.start.media is not None:
            self.session.media = MediaCache(MediaFolder(self.start.media))
        if self.session.look.theme in self.available_themes:
            self.theme = self.session.look.theme

    def on_mount(self) -> None:
        screen = RunScreen(self.session)
        ids = screen.samples.ids
        self.push_screen(screen)
        if self.start.sample is not None:
            sample, step = ids.index(self.start.sample), self.start.step - 1
            screen.call_after_refresh(screen.read, sample, step)
        elif len(ids) == 1:
            screen.call_after_refresh(screen.read, 0)

    def get_system_commands(self, screen: Screen[object]) -> Iterator[SystemCommand]:
        yield from commands_of(screen)

    def action_keys(self) -> None:
        """Show the keys of the current screen."""
        self.push_screen(HelpScreen(key_rows(self.screen)))

    def watch_theme(self, theme: str) -> None:
        self.session.look.theme = theme


def browse(run: Run, start: Start | None = None, look_path: Path | None = None) -> None:
    """Read a run in the terminal; returns when the user quits.

    The look is saved in `look_path`, for the next time. CommandError if there is no such sample or
    step, or no terminal.
    """
    start, path = start or Start(), look_path or default_path()
    if start.sample is not None:
        table = run.summary()
        known = start.sample in table.ids
        steps = int(table.T[table.ids.index(start.sample)]) if known else run[start.sample].T
        if not 1 <= start.step <= max(steps, 1):
            raise CommandError(f"sample '{start.sample}' has steps 1 to {steps}, not {start.step}.")
    if not all(stream and stream.isatty() for stream in (sys.__stdin__, sys.__stderr__)):
        raise CommandError(
            "browse needs a terminal; to read a run without one, use omnitrace replay RUN --json."
        )
    app = BrowseApp(run, start, load_look(path))
    app.session.cache = cache = MassCache(default_folder())
    on_hangup(app.exit)
    try:
        app.run()
    finally:
        app.session.player.stop()
    save_look(app.session.look, path)
    cache.prune()
