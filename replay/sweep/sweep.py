"""A sweep: every configuration scored on one half of the samples, the best reported on the other.

The score of the best of thousands is biased upwards on the samples that it was chosen on, not on
others. Knows how samples are split and what is best; not how they are scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import islice

import numpy as np

from omnitrace.arrays import Float64
from omnitrace.errors import OmniTraceError
from omnitrace.progress import Progress, Report, no_report
from replay.config import ReplayConfig
from replay.evaluation.scores import Score, prf, scores_of
from replay.evaluation.space import COLUMNS
from replay.sweep.blocks import Block, MapBlocks, Scored, Work, Worker, blocks_of, process_pool
from replay.sweep.cluster.pool import Cluster, cluster_pool

METRICS = ("precision", "recall", "f1", "macro_precision", "macro_recall", "macro_f1")
"""In the order of `rates`."""
BEST = 10
"""How many configurations are reported with intervals."""
DRAWS = 1000


@dataclass(frozen=True)
class Aim:
    """What a sweep is to find the highest of, and on which samples.

    `metric` of `METRICS`, over `modality` of `COLUMNS`; `holdout`: the share of the samples that
    is held out; `jobs`: processes, 0 for one a core, where there is no `cluster`.
    """

    metric: str = "f1"
    modality: str = "all"
    holdout: float = 0.5
    jobs: int = 0
    cluster: Cluster | None = None


@dataclass(frozen=True)
class Half:
    """The summed tallies (G, 5, 7) of `samples` samples under G configurations."""

    tallies: Float64
    samples: int

    @property
    def rates(self) -> Float64:
        """(G, 5, 6): `METRICS` by `COLUMNS`."""
        return rates(self.tallies)

    def rate(self, number: int, modality: str, metric: str) -> float:
        """One of `rates`."""
        found = rates(self.tallies[number, COLUMNS.index(modality)])
        return float(found[METRICS.index(metric)])


@dataclass(frozen=True)
class Best:
    """One of the best configurations: `number` among the sweep's, and its micro and macro scores
    on the samples held out, by modality, with bootstrap intervals over samples."""

    number: int
    micro: dict[str, Score]
    macro: dict[str, Score]


@dataclass(frozen=True)
class Swept:
    """What came of a sweep; `held_out` is `chosen_on` where no sample was held out."""

    configs: Sequence[ReplayConfig]
    chosen_on: Half
    held_out: Half
    best: tuple[Best, ...]
    damaged: list[str]


def sweep(work: Work, aim: Aim, report: Report = no_report) -> Swept:
    """Score all configurations on all samples that have labels; bounded by a block of samples.

    OmniTraceError if too few samples have labels to choose on some and report on others.
    """
    choosing, reporting = split([id for id in work.samples if id in work.golds], aim.holdout)
    damaged: list[str] = []
    count = Counter(report, len(choosing) + len(reporting))
    first, rest = (blocks_of(ids, len(work.configs)) for ids in (choosing, reporting))
    pool = cluster_pool(work, aim.cluster) if aim.cluster else process_pool(work, aim.jobs)
    with pool as map_blocks:
        scored = map_blocks(Worker.summed, [*first, *rest])  # one call of a cluster for both halves
        chosen_on = _half(islice(scored, len(first)), damaged, count)
        held_out = _half(scored, damaged, count) if rest else chosen_on
        best = _best(map_blocks, ranked(chosen_on, aim)[:BEST], rest or first)
    return Swept(work.configs, chosen_on, held_out, tuple(best), damaged)


def split(ids: Sequence[str], holdout: float) -> tuple[list[str], list[str]]:
    """The samples to choose on and those held out, each in the order of `ids`.

    By the sha256 of the ids, so that the same samples are held out whatever the order or sweep.
    """
    if not ids:
        raise OmniTraceError("no sample of the run has labels: there is nothing to score.")
    count = round(holdout * len(ids))
    if holdout:
        count = min(max(count, 1), len(ids) - 1)
    if holdout and not count:
        raise OmniTraceError(
            "one sample alone cannot be split; label more, or hold none out (--holdout 0)."
        )
    held = set(sorted(ids, key=lambda id: sha256(id.encode("utf-8", "replace")).digest())[:count])
    return [id for id in ids if id not in held], [id for id in ids if id in held]


def rates(tallies: Float64) -> Float64:
    """(…, 6) `METRICS` from summed tallies (…, 7); a macro rate of no sentence is 1."""
    spans = tallies[..., 3:4]
    macro = np.where(spans > 0, tallies[..., 4:] / np.maximum(spans, 1), 1.0)
    return np.concatenate([prf(tallies[..., :3]), macro], axis=-1)


def ranked(half: Half, aim: Aim) -> list[int]:
    """The configurations' numbers, best first; of equals the first."""
    value = half.rates[:, COLUMNS.index(aim.modality), METRICS.index(aim.metric)]
    order: list[int] = np.argsort(-value, kind="stable").tolist()
    return order


class Counter:
    """Reports how many samples are done."""

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total, self._done = report, total, 0
        report(Progress(0, total))

    def add(self, samples: int) -> None:
        self._done += samples
        self._report(Progress(self._done, self._total))


def _half(blocks: Iterable[Scored], damaged: list[str], count: Counter) -> Half:
    total = Scored(np.zeros(()))
    for block in blocks:
        total.tallies = total.tallies + block.tallies
        total.samples += block.samples
        total.damaged += block.damaged
        count.add(block.seen)
    damaged += total.damaged
    if not total.samples:
        seen = len(total.damaged)
        raise OmniTraceError(f"none of {seen} samples could be scored: {total.damaged[0]}")
    return Half(total.tallies, total.samples)


def _best(map_blocks: MapBlocks, numbers: Sequence[int], blocks: Sequence[Block]) -> list[Best]:
    """The configurations `numbers` again on the blocks, sample by sample."""
    task = partial(Worker.each, numbers=numbers)
    tallies = np.concatenate([block.tallies for block in map_blocks(task, blocks)])
    return [
        Best(number, *scores_of(tallies[:, place], DRAWS)) for place, number in enumerate(numbers)
    ]
