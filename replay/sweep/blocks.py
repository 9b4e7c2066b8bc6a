"""Blocks of samples, each under all configurations, in this process or in several.

A block is the unit of work and of memory: what comes back of one is a few numbers a
configuration. Knows how samples are read and scored; not which block is held out, nor what is best.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from threading import current_thread, main_thread
from typing import Protocol

import numpy as np

from omnitrace.arrays import Float64
from omnitrace.errors import OmniTraceError
from omnitrace.samples import each_sample
from omnitrace.store.run import Run
from omnitrace.trace import Trace
from replay.attribution import Replayer
from replay.cache import MassCache
from replay.config import ReplayConfig
from replay.evaluation.gold import Gold
from replay.evaluation.space import COLUMNS
from replay.sweep.scorer import Scorer

BLOCK, SCORES = 16, 2**14
"""The most samples, and samples times configurations, of a block: enough to be worth a process's
while, few enough to end soon when the work is interrupted."""
AHEAD = 2
"""Blocks handed out beyond those that are being worked on, a process each."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Golds(Protocol):
    """What is true of samples: `replay.evaluation.sources.GoldFile`."""

    def __contains__(self, id: str) -> bool: ...

    def gold(self, trace: Trace, seconds: float = 1.0) -> Gold: ...


@dataclass(frozen=True)
class Work:
    """What every block shares: sent to each process once."""

    samples: Mapping[str, Trace]
    golds: Golds
    configs: Sequence[ReplayConfig]
    seconds: float = 1.0
    cache: MassCache | None = None

    def replayer(self, trace: Trace) -> Replayer:
        """A replayer of one sample; its masses are kept if it is of a stored run."""
        recording = self.samples.vouched(trace.id) if isinstance(self.samples, Run) else ""
        return Replayer(trace, self.cache, recording)


@dataclass
class Scored:
    """What came of one block: the sum of its samples' tallies (G, 5, 7), or each sample's own
    (samples, G, 5, 7); what could not be read, a sentence a sample."""

    tallies: Float64
    samples: int = 0
    damaged: list[str] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """How many samples the block had."""
        return self.samples + len(self.damaged)


class Worker:
    """Scores blocks; made once a process."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._scorer = Scorer(work.configs)

    def summed(self, ids: Sequence[str]) -> Scored:
        """The sum of the samples' tallies, in order."""
        damaged: dict[str, str] = {}
        total, count = np.zeros((len(self._work.configs), len(COLUMNS), 7)), 0
        for tallies in self._each(self._scorer, ids, damaged):
            total += tallies
            count += 1
        return Scored(total, count, [*damaged.values()])

    def each(self, ids: Sequence[str], numbers: Sequence[int]) -> Scored:
        """Each sample's tallies under the few configurations `numbers`."""
        damaged: dict[str, str] = {}
        scorer = Scorer([self._work.configs[number] for number in numbers])
        tallies = list(self._each(scorer, ids, damaged))
        shape = (len(tallies), len(numbers), len(COLUMNS), 7)
        return Scored(np.array(tallies).reshape(shape), len(tallies), [*damaged.values()])

    def _each(
        self, scorer: Scorer, ids: Sequence[str], damaged: dict[str, str]
    ) -> Iterator[Float64]:
        """The tallies of each sample; what is wrong with the labels of one ends the work."""
        work = self._work
        for id, replayer in each_sample(work.samples, ids, work.replayer, damaged):
            score = partial(scorer.tallies, gold=work.golds.gold(replayer.trace, work.seconds))
            for _, tallies in each_sample({id: replayer}, [id], score, damaged):
                yield tallies


Task = Callable[[Worker, Sequence[str]], Scored]
Block = Sequence[str]
"""Ids of a few samples."""
MapBlocks = Callable[[Task, Sequence[Block]], Iterator[Scored]]
"""What a task, such as `Worker.summed`, makes of each block, in order."""


def blocks_of(ids: Sequence[str], configs: int) -> list[Block]:
    """The samples in blocks, in order."""
    size = min(BLOCK, max(1, SCORES // max(1, configs)))
    return [ids[at : at + size] for at in range(0, len(ids), size)]


@contextmanager
def process_pool(work: Work, jobs: int) -> Iterator[MapBlocks]:
    """Workers in `jobs` processes, 0 for one a core; in this process where that is one.

    An error ends the work, and so does Ctrl-C, after the blocks that are being worked on.
    """
    jobs = jobs or _cores()
    if jobs == 1:
        worker = Worker(work)
        yield lambda task, blocks: (task(worker, block) for block in blocks)
        return
    with (
        single_threads(),
        ProcessPoolExecutor(
            jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=(work,)
        ) as pool,
    ):
        try:
            yield lambda task, blocks: _in_turn(pool, task, blocks, jobs * AHEAD)
        except BrokenProcessPool as error:
            raise OmniTraceError(
                "a process of the sweep was killed, perhaps for its memory; try fewer --jobs."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _in_turn(
    pool: ProcessPoolExecutor, task: Task, blocks: Sequence[Block], ahead: int
) -> Iterator[Scored]:
    """The results of the blocks in order, no more than `ahead` of them waiting."""
    waiting: deque[Future[Scored]] = deque()
    for block in blocks:
        with _uninterrupted():
            waiting.append(pool.submit(_run, task, block))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


_worker: Worker | None = None


def _begin(work: Work) -> None:
    """Make this process's worker; Ctrl-C is the parent's to handle, also where it was not yet
    ignored from the start (`_uninterrupted`)."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = Worker(work)


def _run(task: Task, block: Block) -> Scored:
    assert _worker is not None
    return task(_worker, block)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started within ignore Ctrl-C from their first moment."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def single_threads() -> Iterator[None]:
    """Processes started within compute on one thread each: there is one a core already."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
