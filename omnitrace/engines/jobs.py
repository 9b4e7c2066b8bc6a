"""Jobs of a scheduler, through submitit: an array on Slurm, or processes of this machine.

A job that is preempted or runs out of time is queued again as what its `checkpoint` returns.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from omnitrace.engines.resources import Resources, why
from omnitrace.errors import CommandError, extra

NAME = "omnitrace"
MINUTES = 12 * 60
"""Of a job, unless `timeout_min` says otherwise: then it is queued again, so often:"""
REQUEUES = 100
STOPPED_SECONDS = 2.0
"""A terminal's Ctrl-C reaches the jobs of this machine too; stopped twice, they leave processes."""
END_SECONDS = 10.0
_AFTER = f"{'-' * 22}\nYou can check full logs"
"""What submitit says after a job's traceback."""


def submit(
    calls: Sequence[Callable[[], object]], logs: Path, resources: Resources, engine: str
) -> list[Any]:
    """A submitit job a call, all in one array; `engine` is `slurm` or `local`.

    CommandError where the extra [cluster] is not installed, or if the engine refuses.
    """
    with extra("cluster", "jobs need"):
        import submitit
    try:
        executor = submitit.AutoExecutor(logs, engine, slurm_max_num_timeout=REQUEUES)
        given = {key: _number(value) for key, value in resources.options.items()}
        parameters = {
            "timeout_min": MINUTES,
            "gpus_per_node": resources.gpus or None,
            "name": NAME,
        } | given
        executor.update_parameters(**parameters)
        with _errors_into(logs / "jobs.err") if engine == "local" else nullcontext():
            return list(executor.submit_array(calls))
    except (TypeError, NameError, ValueError, AssertionError, RuntimeError, OSError) as error:
        raise CommandError(f"the jobs cannot be submitted: {why(error)}.") from error


def requeued(call: Callable[[], object]) -> Any:
    """What `checkpoint` returns for a call to be made again, in a job that has its place."""
    from submitit.helpers import DelayedSubmission

    return DelayedSubmission(call)


def cancel(jobs: Sequence[Any], engine: str) -> None:
    """End jobs that are not wanted any more. Those of this machine have ended on return."""
    if not jobs:
        return
    if engine == "slurm":
        arrays = sorted({job.job_id.split("_")[0] for job in jobs})
        subprocess.run(["scancel", *arrays], check=False)
    elif not _ended(jobs, STOPPED_SECONDS):
        for job in jobs:
            job.cancel()
        _ended(jobs, END_SECONDS)


def failure(job: Any) -> str:
    """Why a job that is done failed, a clause that names its log; empty if it did not."""
    found = job.exception()
    if found is None:
        return ""
    lines = str(found).split(_AFTER)[0].strip().splitlines()
    return f"job {job.job_id} failed: {why(lines[-1])}; its log is {job.paths.stderr}"


@contextmanager
def _errors_into(path: Path) -> Iterator[None]:
    """Processes that are started within write their errors into a file: what submitit starts says
    in a traceback that it was interrupted."""
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _ended(jobs: Sequence[Any], seconds: float) -> bool:
    """Whether all jobs end within so many seconds."""
    until = time.monotonic() + seconds
    while not all(job.done() for job in jobs):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _number(value: str) -> int | str:
    return int(value) if value.isdigit() else value
