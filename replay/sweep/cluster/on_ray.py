"""A sweep's workers as actors of a Ray cluster: one that dies is started again, and its block is
tried again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from omnitrace.engines.actors import actor_pool
from omnitrace.engines.resources import Resources
from omnitrace.errors import OmniTraceError
from replay.sweep.blocks import AHEAD, Block, MapBlocks, Scored, Task, Work, Worker
from replay.sweep.cluster.pickled import ADVICE, Outcome, outcome, pickled, worker


class Actor:
    """One process of the cluster, which makes its worker when it gets its first block."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def ready(self) -> None:
        """Returns when the actor is there."""

    def score(self, work: list[Any], task: Task, block: Block) -> bytes:
        """What the task makes of a block, an `Outcome` as bytes: of arrays the sweep would get
        views into memory that goes with Ray. `work` holds a reference to the pickled work."""
        return pickled(self._outcome(work, task, block))

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
def ray_pool(work: Work, resources: Resources) -> Iterator[MapBlocks]:
    """Workers on the cluster that Ray finds, or on this machine; they end with the block.

    Errors as of `actor_pool` and `ActorPool.map`.
    """
    ahead = AHEAD * resources.workers
    with actor_pool(Actor, resources, resources.workers, ADVICE) as pool:
        shared = [pool.put(pickled(work))]

        def map_blocks(task: Task, blocks: Sequence[Block]) -> Iterator[Scored]:
            def score(actor: Any, block: Block) -> Any:
                return actor.score.remote(shared, task, block)

            return map(outcome, pool.map(score, blocks, ahead))

        yield map_blocks
