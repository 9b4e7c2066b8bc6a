"""Recording on a Ray cluster: actors that hold the model take blocks of samples, one at a time.

An actor that dies is started again and its block is tried again; what it had committed is skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omnitrace.engines.actors import actor_pool
from omnitrace.engines.resources import Resources, located
from omnitrace.progress import Progress, Report
from recorder.cluster.work import (
    ADVICE,
    LOOK_SECONDS,
    blocks,
    chosen,
    committed,
    joined,
)
from recorder.config import RecordConfig
from recorder.record import Recording, RecordSummary


class Worker:
    """One process of the cluster, with the model in it."""

    def __init__(self, samples: Path, run: Path, config: RecordConfig) -> None:
        self._recording = Recording(samples, run, config)

    def ready(self) -> None:
        """Returns when the actor is there."""

    def record(self, ids: list[str]) -> RecordSummary:
        """Record a block; what the run holds of it already is skipped."""
        return self._recording.run(lambda progress: None, frozenset(ids))


def record_on_ray(
    samples: Path, run: Path, config: RecordConfig, resources: Resources, report: Report
) -> RecordSummary:
    """Share the samples out among actors and wait for all.

    Joins the cluster that Ray finds (RAY_ADDRESS), or starts one on this machine. Raises
    CommandError for what is wrong with the samples or the options, OmniTraceError if an actor
    fails for good: what is committed is safe, and running the same command again records the rest.
    """
    samples_of_all = chosen(samples, config)
    todo, wanted = blocks(samples_of_all), {sample.id for sample in samples_of_all}

    def look(busy: int) -> None:
        report(Progress(len(committed(run) & wanted), len(wanted), f"{busy} workers"))

    def record(worker: Any, block: list[str]) -> Any:
        return worker.record.remote(block)

    count = max(1, min(resources.workers, len(todo)))
    given = (samples.absolute(), located(run), config)
    with actor_pool(Worker, resources, count, ADVICE, *given) as pool:
        summary = joined(list(pool.map(record, todo, len(todo), look, LOOK_SECONDS)))
    look(0)
    return summary
