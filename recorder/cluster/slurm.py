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

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.text import one_line
from recorder.cluster.work import (
    LOOK_SECONDS,
    Report,
    Resources,
    chosen,
    committed,
    joined,
    located,
)
from recorder.config import RecordConfig
from recorder.record import RecordSummary, record

NAME = "omnitrace"
MINUTES = 12 * 60
"""Of a job, unless `timeout_min` says otherwise: then it is queued again, so often:"""
REQUEUES = 100


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
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


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
    jobs = _submit(shards, run, resources, engine)
    _wait(jobs, wanted, run, report)
    summaries = [_result(job) for job in jobs]  # one that is queued again is waited for here
    report(len(committed(run) & wanted), len(wanted), "")
    return joined(summaries)


def _submit(shards: Sequence[Shard], run: Path, resources: Resources, engine: str) -> list[Any]:
    try:
        import submitit
    except ImportError as error:
        raise CommandError(
            f"jobs need {error.name}: pip install 'omnitrace-replay[cluster]'."
        ) from error
    try:
        logs = Path(f"{run.name}-jobs").absolute()
        executor = submitit.AutoExecutor(logs, engine, slurm_max_num_timeout=REQUEUES)
        given = {key: _number(value) for key, value in resources.options.items()}
        asked = {"timeout_min": MINUTES, "gpus_per_node": resources.gpus, "name": NAME} | given
        executor.update_parameters(**asked)
        return list(executor.submit_array(shards))
    except (TypeError, NameError, AssertionError, RuntimeError) as error:
        raise CommandError(f"the jobs cannot be submitted: {one_line(str(error), 400)}.") from error


def _number(value: str) -> int | str:
    return int(value) if value.isdigit() else value


def _wait(jobs: Sequence[Any], wanted: set[str], run: Path, report: Report) -> None:
    while True:
        running = [job for job in jobs if not job.done()]
        done = len(committed(run) & wanted)
        report(done, len(wanted), f"{len(running)} jobs of {len(jobs)} at work")
        if not running:
            return
        time.sleep(LOOK_SECONDS)


def _result(job: Any) -> RecordSummary:
    found = job.exception()
    if found is None:
        result: RecordSummary = job.result()
        return result
    why = one_line(str(found).strip().splitlines()[-1], 400)
    raise OmniTraceError(
        f"job {job.job_id} failed: {why}; its log is {job.paths.stderr}. What is committed is "
        "safe: run the same command again."
    ) from found
