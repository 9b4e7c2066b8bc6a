"""`omnitrace copy RUN OUT`: the same run in another place."""

from __future__ import annotations

from pathlib import Path

from omnitrace.cli.console import narrate, progress_bar, size
from omnitrace.maintenance.copy import CopySummary
from omnitrace.maintenance.copy import copy as copy_run
from omnitrace.maintenance.verify import verify
from omnitrace.store.files import Files
from omnitrace.store.run import new_files, run_files


def copy(run: Path, to: Path) -> int:
    """Copy a run with all that was added to it, and check the copy.

    Running the same command again resumes. Damaged segments are left out and named.

    Parameters
    ----------
    run
        the folder of a run
    to
        where the copy lies: a new folder, or a copy made before
    """
    target = new_files(to)
    with progress_bar("segments") as report:
        summary = copy_run(run_files(run), target, report)
    return tell(summary, target, to)


def tell(summary: CopySummary, target: Files, path: Path) -> int:
    """Check what was written and say what happened; the exit status."""
    with progress_bar("segments checked") as report:
        harm = [found.sentence for found in verify(target, report=report) if found.damage]
    for sentence in dict.fromkeys([*summary.damage, *harm]):
        narrate(f"omnitrace: {sentence}")
    there = f", {summary.there} segments there already" if summary.there else ""
    narrate(
        f"{path}: {summary.segments} segments of {summary.samples} samples copied, "
        f"{size(summary.nbytes)}, {summary.additions} additions{there}; "
        f"{'the copy is checked' if not harm else 'the copy is damaged'}."
    )
    return 1 if summary.damage or harm else 0
