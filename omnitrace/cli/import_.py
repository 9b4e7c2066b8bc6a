"""`omnitrace import FILE RUN`: a run from a file of another kind."""

from __future__ import annotations

from pathlib import Path

from omnitrace.care.verify import verify
from omnitrace.cli.console import narrate, progress_bar
from omnitrace.errors import CommandError
from omnitrace.exchange.hdf5_read import MAX_BYTES, import_hdf5
from omnitrace.run import Run, new_files


def import_(file: Path, run: Path, *, max_bytes: int = MAX_BYTES) -> int:
    """Make a run of an HDF5 file that `omnitrace export` wrote, and check it.

    Running the same command again resumes.

    Parameters
    ----------
    file
        the file
    run
        the folder of the run: made, or the same run imported before
    max_bytes
        the most memory that one column of a segment may take
    """
    if not file.is_file():
        raise CommandError(f"there is no file {file}.")
    target = new_files(run)
    with progress_bar("segments") as report:
        damage = import_hdf5(file, target, max_bytes, report)
    with progress_bar("segments checked") as report:
        damage += [found.sentence for found in verify(target, True, report) if found.damage]
    for sentence in damage:
        narrate(f"omnitrace: {sentence}")
    narrate(f"{run}: {len(Run(target))} samples.")
    return 1 if damage else 0
