"""A sweep's workers as jobs of a scheduler: job i of N scores every N-th block from the i-th on.

What comes of a block is a file that the sweep takes away: in between, a folder holds little, and a
job that is preempted goes on at the block where it was. The folder must be one that all machines
see.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from omnitrace.atomic import atomic_write
from omnitrace.engines.jobs import cancel, failure, requeued, submit
from omnitrace.engines.resources import Resources
from omnitrace.engines.signals import held_back
from omnitrace.errors import CommandError, OmniTraceError
from replay.sweep.blocks import Block, MapBlocks, Scored, Task, Work, single_threads
from replay.sweep.cluster.pickled import ADVICE, outcome, pickled, worker

LOOK_SECONDS = 0.5
"""Between two looks for the next block."""
LATE_SECONDS = 60.0
"""A shared disk may show a file so long after the job that wrote it has ended."""
_WORK = "work"


@dataclass
class Part:
    """One job: some of the blocks, by number. What comes of each is a file in `folder`."""

    work: Path
    folder: Path
    task: Task
    blocks: dict[int, Block]

    def __call__(self) -> OmniTraceError | None:
        """The error that ends the sweep, if there is one."""
        try:
            own = worker(self.work.read_bytes())
            for number in list(self.blocks):
                scored = self.task(own, self.blocks[number])
                with atomic_write(self.folder / str(number)) as temporary:
                    temporary.write_bytes(pickled(scored))
                del self.blocks[number]
        except OmniTraceError as error:
            return error
        return None

    def checkpoint(self) -> Any:
        """What is to be queued when the machine is withdrawn: the blocks that are left."""
        return requeued(self)


@contextmanager
def job_pool(work: Work, resources: Resources, engine: str, logs: Path) -> Iterator[MapBlocks]:
    """Jobs, an array for every task; cancelled where the block is left before they are done.

    `engine` is `slurm` or `local`. CommandError if `logs` cannot be written; errors of `submit`.
    """
    with _folder(logs) as folder, single_threads():
        (folder / _WORK).write_bytes(pickled(work))
        jobs: list[Any] = []

        def map_blocks(task: Task, blocks: Sequence[Block]) -> Iterator[Scored]:
            place = Path(mkdtemp(dir=folder))
            numbered = list(enumerate(blocks))
            count = min(resources.workers, len(blocks))
            parts = [
                Part(folder / _WORK, place, task, dict(numbered[first::count]))
                for first in range(count)
            ]
            with held_back():
                jobs[:] = submit(parts, logs, resources, engine)
            yield from _scored(jobs, place, len(blocks))
            jobs.clear()

        try:
            yield map_blocks
        finally:
            cancel(jobs, engine)


@contextmanager
def _folder(logs: Path) -> Iterator[Path]:
    """A folder for the blocks, which goes when they are scored."""
    try:
        logs.mkdir(parents=True, exist_ok=True)
        made = TemporaryDirectory(prefix="sweep-", dir=logs, ignore_cleanup_errors=True)
    except OSError as error:
        raise CommandError(
            f"cannot write {logs}, where the jobs leave what they find: {error.strerror}. Call "
            "the command in a folder that all machines see."
        ) from error
    with made as folder:
        yield Path(folder)


def _scored(jobs: Sequence[Any], place: Path, count: int) -> Iterator[Scored]:
    """What came of the blocks, in order, as the jobs write it; at the end all jobs are over."""
    running, late = list(jobs), 0.0
    for number in range(count):
        while (found := _taken(place / str(number))) is None:
            if not running and (late := late + LOOK_SECONDS) > LATE_SECONDS:
                raise OmniTraceError(f"{place / str(number)} is missing, but the jobs are done.")
            running = _still(running)
        yield found
    while running:
        running = _still(running)


def _still(jobs: Sequence[Any]) -> list[Any]:
    """Wait a little; the jobs that are not over then."""
    time.sleep(LOOK_SECONDS)
    return [job for job in jobs if not _is_over(job)]


def _taken(path: Path) -> Scored | None:
    """What a job wrote, its file removed; None if it is not there yet."""
    with suppress(FileNotFoundError):
        scored = outcome(path.read_bytes())
        path.unlink()
        return scored
    return None


def _is_over(job: Any) -> bool:
    """Whether a job has done all that it was to do; OmniTraceError if it failed."""
    if not job.done():
        return False
    if why := failure(job):
        raise OmniTraceError(f"{why}. {ADVICE}")
    error: OmniTraceError | None = job.result()
    if error:
        raise error
    return True
