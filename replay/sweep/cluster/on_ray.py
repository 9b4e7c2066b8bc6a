"""A sweep's workers as actors of a Ray cluster: one that dies is started again, its block tried
again. Blocks go to the actors that are there; an actor that finds no place is not waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from omnitrace.engines.actors import answer, joined_cluster, start_actors
from omnitrace.engines.resources import Resources
from omnitrace.errors import OmniTraceError
from replay.sweep.blocks import AHEAD, Block, Scored, Task, Team, Work, Worker
from replay.sweep.cluster.packed import ADVICE, Outcome, outcome, packed, worker


class Actor:
    """One process of the cluster, which makes its worker when it gets its first block."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def ready(self) -> None:
        """Returns when the actor is there."""

    def score(self, work: list[Any], task: Task, block: Block) -> bytes:
        """What the task makes of a block, an `Outcome` as bytes: of arrays the sweep would get
        views into memory that goes with Ray. `work` holds a reference to the packed work."""
        return packed(self._outcome(work, task, block))

    def _outcome(self, work: list[Any], task: Task, block: Block) -> Outcome:
        try:
            if self._worker is None:
                self._worker = worker(_fetched(work[0]))
            return task(self._worker, block)
        except OmniTraceError as error:
            return error


def _fetched(reference: Any) -> bytes:
    import ray

    data: bytes = ray.get(reference)
    return data


@contextmanager
def ray_team(work: Work, resources: Resources) -> Iterator[Team]:
    """Workers on the cluster that Ray finds, or on this machine; they end with the block.

    Errors as of `joined_cluster` and `start_actors`.
    """
    with joined_cluster() as ray:
        shared = [ray.put(packed(work))]
        actors = start_actors(ray, Actor, resources, resources.workers)
        try:
            yield lambda task, blocks: _Crew(
                ray, actors, lambda actor, block: actor.score.remote(shared, task, block), blocks
            ).scored()
        finally:
            for actor in actors:
                ray.kill(actor)


class _Crew:
    """Actors that share out blocks, each a block at a time."""

    def __init__(
        self,
        ray: Any,
        actors: Sequence[Any],
        score: Callable[[Any, Block], Any],
        blocks: Sequence[Block],
    ) -> None:
        self._ray, self._score, self._blocks = ray, score, blocks
        self._ahead = AHEAD * len(actors)
        self._asked = 0
        self._idle: list[Any] = []
        self._waiting = {actor.ready.remote(): (-1, actor) for actor in actors}
        self._done: dict[int, Scored] = {}

    def scored(self) -> Iterator[Scored]:
        """What came of the blocks, in order, however they are done."""
        for number in range(len(self._blocks)):
            while number not in self._done:
                self._hand_out(number + self._ahead)
                self._take_in()
            yield self._done.pop(number)

    def _hand_out(self, before: int) -> None:
        """Give idle actors the next blocks, but none from number `before` on."""
        while self._idle and self._asked < min(before, len(self._blocks)):
            actor, block = self._idle.pop(), self._blocks[self._asked]
            self._waiting[self._score(actor, block)] = (self._asked, actor)
            self._asked += 1

    def _take_in(self) -> None:
        """Wait for an actor to be done."""
        ready, _ = self._ray.wait(list(self._waiting), num_returns=1)
        for reference in ready:
            number, actor = self._waiting.pop(reference)
            found = answer(self._ray, reference, ADVICE)
            if found is not None:
                self._done[number] = outcome(found)
            self._idle.append(actor)
