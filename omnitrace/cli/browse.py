"""`omnitrace browse RUN`: the terminal browser."""

from __future__ import annotations

from pathlib import Path

from omnitrace import open_run
from omnitrace.errors import CommandError


def browse(
    run: Path,
    *,
    sample: str | None = None,
    step: int = 1,
    config: Path | None = None,
) -> int:
    """Read a run in the terminal: tokens, spans and their sources. Press ? for the keys.

    Parameters
    ----------
    run
        the folder of a run
    sample
        open this sample at once
    step
        with its cursor on this step, from 1
    config
        a TOML file of configuration keys to begin with, as the browser saves it
    """
    try:
        from tui import Start
        from tui import browse as open_browser
    except ImportError as error:
        raise CommandError(
            f"the browser needs {error.name}: pip install 'omnitrace-replay[tui]'."
        ) from error
    from omnitrace.config import load_toml
    from replay import PRESETS

    own = load_toml(PRESETS["default"], config) if config else None
    open_browser(open_run(run), Start(sample, step, own))
    return 0
