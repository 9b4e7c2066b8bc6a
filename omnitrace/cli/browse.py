"""`omnitrace browse RUN`: the terminal browser."""

from __future__ import annotations

from pathlib import Path

from omnitrace import open_run
from omnitrace.errors import CommandError


def browse(run: Path, *, sample: str | None = None) -> int:
    """Read a run in the terminal: tokens, spans and their sources. Press ? for the keys.

    Parameters
    ----------
    run
        the folder of a run
    sample
        open this sample at once
    """
    try:
        from tui import browse as open_browser
    except ImportError as error:
        raise CommandError(
            f"the browser needs {error.name}: pip install 'omnitrace-replay[tui]'."
        ) from error
    open_browser(open_run(run), sample)
    return 0
