"""`omnitrace browse RUN`: the terminal browser."""

from __future__ import annotations

from pathlib import Path

from omnitrace import open_run
from omnitrace.errors import CommandError, nearest


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
    opened = open_run(run)
    if sample is not None and sample not in opened:
        raise CommandError(
            f"{run} has no sample '{sample}': {nearest(sample, list(opened)[:1000])}."
        )
    open_browser(opened, sample)
    return 0
