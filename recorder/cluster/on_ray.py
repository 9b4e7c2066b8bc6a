"""Recording on a Ray cluster: actors that hold the model take blocks of samples, one at a time.

An actor that dies is started again and its block is tried again; what it had committed is skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.text import one_line
from recorder.cluster.work import (
    LOOK_SECONDS,
    Report,
    Resources,
    blocks,
    chosen,
    committed,
    joined,
    located,
)
from recorder.config import RecordConfig
from recorder.record import Recording, RecordSummary

RESTARTS = 20
"""Of one actor, and tries of one block: machines are taken away, samples do not kill for ever."""


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
    try:
        import ray
    except ImportError as error:
        raise CommandError(
            f"Ray workers need {error.name}: pip install 'omnitrace-replay[cluster]'."
        ) from error
    asked = chosen(samples, config)
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    made = ray.remote(max_restarts=RESTARTS, max_task_retries=RESTARTS)(Worker)
    made = made.options(**_options(resources))
    todo = blocks(asked)
    count = max(1, min(resources.workers, len(todo)))
    actors = [made.remote(samples.absolute(), located(run), config) for _ in range(count)]
    wanted = {sample.id for sample in asked}

    def tell(at: str) -> None:
        report(len(committed(run) & wanted), len(wanted), at)

    return _share_out(ray, actors, todo, tell)


def _options(resources: Resources) -> dict[str, Any]:
    """What Ray is asked for; numbers as numbers."""
    given = {key: _number(value) for key, value in resources.options.items()}
    return {"num_gpus": resources.gpus} | given


def _number(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value


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
            done.append(_result(ray, reference))
            if queue:
                at_work[actor.record.remote(queue.pop(0))] = actor
        report(f"{len(at_work)} workers")
    return joined(done)


def _result(ray: Any, reference: Any) -> RecordSummary:
    try:
        found: RecordSummary = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise OmniTraceError(
            f"a worker failed: {one_line(str(error.cause or error), 400)}. What is committed is "
            "safe: run the same command again."
        ) from error
    except ray.exceptions.RayError as error:
        raise OmniTraceError(
            f"a worker is lost: {one_line(str(error), 400)}. What is committed is safe: run the "
            "same command again."
        ) from error
    return found
