"""`omnitrace export RUN OUT.h5`: a run as one HDF5 file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from omnitrace.cli.console import narrate, narrate_failures, progress_bar, size
from omnitrace.cli.flags import RunPath
from omnitrace.errors import CommandError
from omnitrace.exchange.hdf5_write import export as export_run
from omnitrace.store.run import open_run


def export(run: RunPath, to: Path, *, codec: Literal["gzip", "none"] = "gzip") -> int:
    """Write a run, with all that was added to it, to one HDF5 file; `omnitrace import` reads it.

    Parameters
    ----------
    to
        the file, such as run.h5; one that is there is replaced when the new one is complete
    codec
        how numbers are compressed: gzip reads everywhere, none is fastest
    """
    if to.suffix not in (".h5", ".hdf5"):
        raise CommandError(f"{to} does not end in .h5: runs are exported to HDF5 only.")
    if to.is_dir() or not to.parent.is_dir():
        raise CommandError(f"{to} cannot be a file: it is a folder, or there is none to hold it.")
    opened = open_run(run)
    with progress_bar() as report:
        damage = export_run(opened, to, codec, report)
    status = narrate_failures(damage)
    narrate(f"{to}: {len(opened)} samples, {size(to.stat().st_size)}.")
    return status
