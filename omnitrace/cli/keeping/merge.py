"""`omnitrace merge RUN… --into OUT`: runs that were recorded alike made one."""

from __future__ import annotations

from pathlib import Path

from omnitrace.cli.console import progress_bar
from omnitrace.cli.keeping.copy import tell
from omnitrace.errors import CommandError
from omnitrace.maintenance.copy import merge as merge_runs
from omnitrace.store.run import new_files, run_files


def merge(*runs: Path, into: Path) -> int:
    """Copy the samples of several runs, with all that was added to them, into one.

    All must have been recorded with the same model and configuration. Of a sample that several
    hold, the one of the smallest segment UUID counts, as in reading. Running it again resumes.

    Parameters
    ----------
    runs
        folders of runs; they are not changed
    into
        a new folder, or a run recorded alike, to which the others are added
    """
    if not runs:
        raise CommandError("name the runs to merge: omnitrace merge RUN RUN --into OUT.")
    target = new_files(into)
    with progress_bar("segments") as report:
        summary = merge_runs([run_files(run) for run in runs], target, report)
    return tell(summary, target, into)
