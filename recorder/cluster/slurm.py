"""Recording as a Slurm job array, through submitit: job i records the i-th of N parts.

A job that is preempted or runs out of time commits what is finished and is queued again, where it
finds the rest. `local` is submitit's own engine for one machine: the same jobs as processes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omnitrace.engines.jobs import failure, requeued, submit
from omnitrace.engines.resources import Resources, jobs_folder, located
from omnitrace.errors import OmniTraceError
from omnitrace.progress import Progress, Report
from recorder.cluster.work import (
    ADVICE,
    LOOK_SECONDS,
    chosen,
    committed,
    joined,
)
from recorder.config import RecordConfig
from recorder.record import RecordSummary, record


@dataclass(frozen=True)
class Shard:
    """One job: what `omnitrace record --shard` does. Running it twice records nothing twice."""

    samples: Path
    run: Path
    config: RecordConfig

    def __call__(self) -> RecordSummary:
        return record(self.samples, self.run, self.config)

    def checkpoint(self) -> Any:
        """What submitit is to queue when the machine is taken away: the very same."""
        return requeued(self)


def record_on_slurm(
    samples: Path,
    run: Path,
    config: RecordConfig,
    resources: Resources,
    report: Report,
    engine: str = "slurm",
) -> RecordSummary:
    """Submit a job a worker and wait for all; Ctrl-C leaves the jobs where they are.

    `engine` is `slurm` or `local`. Raises CommandError for what is wrong with the samples or the
    options, and OmniTraceError if a job fails: what is committed is safe, and running the same
    command again records the rest.
    """
    wanted = {sample.id for sample in chosen(samples, config)}
    parts = max(1, min(resources.workers, len(wanted)))
    shards = [
        Shard(samples.absolute(), located(run), replace(config, shard=f"{part}/{parts}"))
        for part in range(1, parts + 1)
    ]
    jobs = submit(shards, jobs_folder(run), resources, engine)
    _wait(jobs, wanted, run, report)
    summaries = [_result(job) for job in jobs]  # one that is queued again is waited for here
    report(Progress(len(committed(run) & wanted), len(wanted)))
    return joined(summaries)


def _wait(jobs: Sequence[Any], wanted: set[str], run: Path, report: Report) -> None:
    while True:
        running = [job for job in jobs if not job.done()]
        done = len(committed(run) & wanted)
        report(Progress(done, len(wanted), f"{len(running)} jobs of {len(jobs)} at work"))
        if not running:
            return
        time.sleep(LOOK_SECONDS)


def _result(job: Any) -> RecordSummary:
    if why := failure(job):
        raise OmniTraceError(f"{why}. {ADVICE}")
    result: RecordSummary = job.result()
    return result
