"""`omnitrace browse RUN`: the terminal browser."""

from __future__ import annotations

from pathlib import Path

from omnitrace import open_run
from omnitrace.cli.flags import RunPath
from omnitrace.errors import CommandError, extra

VERBS = {
    "browse": (
        "Replay",
        "tui.cli:browse",
        "Read a run in the terminal: tokens, spans and their sources.",
    ),
}
"""Verb → its heading in the help, its function, what it does."""


def browse(
    run: RunPath,
    *,
    sample: str | None = None,
    step: int = 1,
    config: Path | None = None,
    labels: Path | None = None,
    media: Path | None = None,
) -> int:
    """Read a run in the terminal: tokens, spans and their sources. Press ? for the keys.

    Parameters
    ----------
    sample
        open this sample at once
    step
        with its cursor on this step, from 1
    config
        a TOML file of configuration keys to begin with, as the browser saves it
    labels
        what is true: a labels file (a judge's or a person's), or a truth file of planted samples
    media
        a folder with the media of the prompts, to be seen and heard; a file is taken only if its
        name and its sha256 are those that were recorded
    """
    with extra("tui", "the browser needs"):
        from tui.app import Start
        from tui.app import browse as open_browser
        from tui.labels import Labels
    from omnitrace.config import load_toml
    from replay import PRESETS

    own = load_toml(PRESETS["default"], config) if config else None
    if media is not None and not media.is_dir():
        raise CommandError(f"there is no folder {media}; --media names one with the media files.")
    known = Labels.read(labels) if labels else None
    open_browser(open_run(run), Start(sample, step, own, known, media))
    return 0
