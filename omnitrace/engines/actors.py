"""Actors of a Ray cluster: processes that are started again when they die."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

from omnitrace.engines.resources import RETRIES, Resources, why
from omnitrace.engines.signals import held_back
from omnitrace.errors import CommandError, OmniTraceError


@contextmanager
def joined_cluster() -> Iterator[Any]:
    """The module `ray`, joined to the cluster that Ray finds (RAY_ADDRESS), or to one that is
    started on this machine and ends with the block. What Ray says of its workers goes to stderr.

    CommandError where the extra [cluster] is not installed or the cluster cannot be joined.
    """
    try:
        import ray
    except ImportError as error:
        raise CommandError(
            f"Ray workers need {error.name}: pip install 'omnitrace-replay[cluster]'."
        ) from error
    with redirect_stdout(sys.stderr):
        if ray.is_initialized():
            yield ray
            return
        try:
            _join(ray)
            yield ray
        finally:
            with redirect_stdout(StringIO()):  # that the actors died is no news now
                ray.shutdown()


def start_actors(
    ray: Any, made: type, resources: Resources, count: int, *given: object
) -> list[Any]:
    """`count` actors of a class, made with what is given, started again up to `RETRIES` times.

    CommandError if Ray knows no such option.
    """
    asked = {"num_gpus": resources.gpus} | {k: _number(v) for k, v in resources.options.items()}
    try:
        remote = ray.remote(max_restarts=RETRIES, max_task_retries=RETRIES)(made).options(**asked)
        return [remote.remote(*given) for _ in range(count)]
    except (ValueError, TypeError) as error:
        raise CommandError(f"the actors cannot be started: {why(error)}.") from error


def answer(ray: Any, reference: Any, advice: str) -> Any:
    """What an actor's method returned; OmniTraceError if it failed, or the actor died for good."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise OmniTraceError(f"a worker failed: {why(error.cause or error)}. {advice}") from error
    except ray.exceptions.RayError as error:
        raise OmniTraceError(f"a worker is lost: {why(error)}. {advice}") from error


def _join(ray: Any) -> None:
    try:
        with held_back():  # Ray crashes if it is left half started, and keeps SIGTERM to itself
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise CommandError(
            f"no Ray cluster can be joined or started: {why(error)}. RAY_ADDRESS "
            "names the cluster; without it one is started on this machine."
        ) from error


def _number(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value
