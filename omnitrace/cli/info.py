"""`omnitrace info RUN`: what a run holds. Reads markers only; loads no model."""

from __future__ import annotations

from pathlib import Path


def info(run: Path, *, json: bool = False) -> int:
    """Say what a run holds: samples, model, signals, bytes.

    Parameters
    ----------
    run
        the folder of a run
    json
        print JSON for programs instead of a table
    """
    raise NotImplementedError
