"""Recording on a Ray cluster: actors that hold the model take blocks of samples, one at a time.

An actor that dies is started again and its block is tried again; what it had committed is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from omnitrace.engines.actors import answer, joined_cluster, start_actors
from omnitrace.engines.resources import Resources, located
from recorder.cluster.work import (
    ADVICE,
    LOOK_SECONDS,
    Report,
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
    asked = chosen(samples, config)
    todo = blocks(asked)
    wanted = {sample.id for sample in asked}

    def tell(at: str) -> None:
        report(len(committed(run) & wanted), len(wanted), at)

    with joined_cluster() as ray:
        count = max(1, min(resources.workers, len(todo)))
        given = (samples.absolute(), located(run), config)
        return _share_out(ray, start_actors(ray, Worker, resources, count, *given), todo, tell)


def _share_out(
    ray: Any, actors: list[Any], todo: list[list[str]], report: Callable[[str], None]
) -> RecordSummary:
    """Give every actor a block, and another whenever it is done with one."""
    done: list[RecordSummary] = []
    at_work: dict[Any, Any] = {}
    queue = todo[len(actors) :]
    for actor, block in zip(actors, todo, strict=False):
        at_work[actor.record.remote(block)] = actor
    while at_work:
        ready, _ = ray.wait(list(at_work), num_returns=1, timeout=LOOK_SECONDS)
        for reference in ready:
            actor = at_work.pop(reference)
            done.append(answer(ray, reference, ADVICE))
            if queue:
                at_work[actor.record.remote(queue.pop(0))] = actor
        report(f"{len(at_work)} workers")
    return joined(done)
