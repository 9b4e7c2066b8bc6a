"""A pool of actors of a Ray cluster: processes that are started again when they die.

Knows how actors share out items; not what they do with them. Ray is imported when it is used.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any, Protocol

from omnitrace.engines.resources import RETRIES, Resources, why
from omnitrace.engines.signals import held_back
from omnitrace.errors import CommandError, OmniTraceError, extra


class Actor(Protocol):
    """A class of actors."""

    def ready(self) -> None:
        """Returns when the actor is there."""


@contextmanager
def actor_pool(
    made: type[Actor], resources: Resources, count: int, advice: str, *given: object
) -> Iterator[ActorPool]:
    """`count` actors of a class, made with the arguments `given`, on the cluster that Ray finds
    (RAY_ADDRESS), or on one that is started on this machine; they end with the block.

    `advice`: a sentence for errors of actors. Raises CommandError where the extra [cluster] is not
    installed, the cluster cannot be joined, or Ray knows no such option.
    """
    with _joined_cluster() as ray:
        actors = _start_actors(ray, made, resources, count, *given)
        try:
            yield ActorPool(ray, actors, advice)
        finally:
            for actor in actors:
                ray.kill(actor)


class ActorPool:
    """Actors that share out items, each an item at a time; an actor for which the cluster has no
    place is not waited for."""

    def __init__(self, ray: Any, actors: Sequence[Any], advice: str) -> None:
        self._ray, self._actors, self._advice = ray, actors, advice

    def put(self, data: bytes) -> Any:
        """A reference to data that all actors read."""
        return self._ray.put(data)

    def map(
        self,
        call: Callable[[Any, Any], Any],
        items: Sequence[Any],
        ahead: int,
        report: Callable[[int], None] = lambda busy: None,
        seconds: float | None = None,
    ) -> Iterator[Any]:
        """The results of `call(actor, item)`, which returns Ray's reference, in the order of the
        items.

        No item is handed out that lies `ahead` or more behind the next result. `report` gets the
        number of busy actors whenever one is done, and every `seconds`. OmniTraceError if an item
        fails, or an actor for good.
        """
        waiting = {actor.ready.remote(): (-1, actor) for actor in self._actors}
        idle, done, handed_out = list[Any](), dict[int, Any](), 0
        for number in range(len(items)):
            while number not in done:
                while idle and handed_out < min(number + ahead, len(items)):
                    actor = idle.pop()
                    waiting[call(actor, items[handed_out])] = (handed_out, actor)
                    handed_out += 1
                report(sum(item >= 0 for item, _ in waiting.values()))
                ready, _ = self._ray.wait(list(waiting), num_returns=1, timeout=seconds)
                for reference in ready:
                    item, actor = waiting.pop(reference)
                    result = _answer(self._ray, reference, self._advice)
                    idle.append(actor)
                    if item >= 0:
                        done[item] = result
            yield done.pop(number)


@contextmanager
def _joined_cluster() -> Iterator[Any]:
    """The module `ray`, joined to the cluster that Ray finds (RAY_ADDRESS), or to one that is
    started on this machine and ends with the block. Ray writes about its workers to stderr.

    CommandError where the extra [cluster] is not installed or the cluster cannot be joined.
    """
    with extra("cluster", "Ray workers need"):
        import ray
    with redirect_stdout(sys.stderr):
        if ray.is_initialized():
            yield ray
            return
        try:
            _join(ray)
            yield ray
        finally:
            with redirect_stdout(StringIO()):  # that the actors ended is expected now
                ray.shutdown()


def _start_actors(
    ray: Any, made: type, resources: Resources, count: int, *given: object
) -> list[Any]:
    """`count` actors of a class, made with the arguments `given`, started again up to `RETRIES`
    times. CommandError if Ray knows no such option."""
    options = {"num_gpus": resources.gpus} | {k: _number(v) for k, v in resources.options.items()}
    try:
        remote = ray.remote(max_restarts=RETRIES, max_task_retries=RETRIES)(made).options(**options)
        return [remote.remote(*given) for _ in range(count)]
    except (ValueError, TypeError) as error:
        raise CommandError(f"the actors cannot be started: {why(error)}.") from error


def _answer(ray: Any, reference: Any, advice: str) -> Any:
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
