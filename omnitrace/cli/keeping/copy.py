"""`omnitrace copy RUN OUT`: the same run in another place; `omnitrace merge`: several as one."""

from __future__ import annotations

from pathlib import Path

from omnitrace.cli.console import narrate, narrate_failures, progress_bar, size
from omnitrace.cli.flags import RunPath
from omnitrace.errors import CommandError
from omnitrace.maintenance.copy import CopySummary
from omnitrace.maintenance.copy import copy as copy_run
from omnitrace.maintenance.copy import merge as merge_runs
from omnitrace.maintenance.verify import verify
from omnitrace.store.files import Files
from omnitrace.store.run import new_files, run_files


def copy(run: RunPath, to: Path) -> int:
    """Copy a run with all that was added to it, and check the copy.

    Running the same command again resumes. Damaged segments are left out and named.

    Parameters
    ----------
    to
        where the copy lies: a new folder, or a copy made before
    """
    target = new_files(to)
    with progress_bar() as report:
        summary = copy_run(run_files(run), target, report)
    return show_copied(summary, target, to)


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
    with progress_bar() as report:
        summary = merge_runs([run_files(run) for run in runs], target, report)
    return show_copied(summary, target, into)


def show_copied(summary: CopySummary, target: Files, path: Path) -> int:
    """Check the target and print what was copied, on stderr; the exit status."""
    with progress_bar() as report:
        harm = [found.sentence for found in verify(target, report=report) if found.damage]
    status = narrate_failures(dict.fromkeys([*summary.damage, *harm]))
    there = f", {summary.there} segments there already" if summary.there else ""
    narrate(
        f"{path}: {summary.segments} segments of {summary.samples} samples copied, "
        f"{size(summary.nbytes)}, {summary.additions} additions{there}; "
        f"{'the copy is checked' if not harm else 'the copy is damaged'}."
    )
    return status
