"""Ablations: Table 3 of the paper, what each part of curation is worth (docs/sweeps.md).

Knows configurations and how a pool of workers scores them; no terminal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from omnitrace.errors import OmniTraceError
from omnitrace.progress import Report, no_report
from replay.config import UPOS, ReplayConfig
from replay.evaluation.scores import Score, scores_of
from replay.sweep.blocks import Work, Worker, blocks_of, process_pool
from replay.sweep.sweep import DRAWS, Counter

ROWS: dict[str, dict[str, Any]] = {
    "full": {},
    "no-pos-weights": {"pos_weights": dict.fromkeys(UPOS, 1.0), "pos_other": 1.0},
    "no-confidence-shaping": {"gamma": 1.0},
    "no-confidence": {"gamma": 0.0},
    "no-run-coherence": {"alpha": 1.0, "run_min": 1.0},
    "no-p-min": {"p_min": 0.0},
}
"""What each row changes of the curation. A run of at least the whole vote has a share that no
`p_min` drops, so that with `run_min` 1 no run changes anything."""


@dataclass(frozen=True)
class Row:
    """A row of the table: its scores by modality, with bootstrap intervals over samples."""

    name: str
    config: ReplayConfig
    micro: dict[str, Score]
    macro: dict[str, Score]


def ablated(config: ReplayConfig) -> dict[str, ReplayConfig]:
    """The configuration of each row."""
    return {
        name: replace(config, curation=replace(config.curation, **changes))
        for name, changes in ROWS.items()
    }


def ablate(work: Work, jobs: int = 0, report: Report = no_report) -> tuple[list[Row], list[str]]:
    """The table's rows for `work.configs`, which are those of `ablated`; what could not be read.

    Every sample that has labels is scored: nothing is chosen. OmniTraceError if there is none.
    """
    ids = [id for id in work.samples if id in work.golds]
    count, damaged, parts = Counter(report, len(ids)), list[str](), []
    task = partial(Worker.each, numbers=range(len(work.configs)))
    with process_pool(work, jobs) as map_blocks:
        for block in map_blocks(task, blocks_of(ids, len(work.configs))):
            parts.append(block.tallies)
            damaged += block.damaged
            count.add(block.seen)
    tallies = np.concatenate(parts) if parts else np.empty(0)
    if not len(tallies):
        raise OmniTraceError(damaged[0] if damaged else "no sample of the run has labels.")
    return [
        Row(name, config, *scores_of(tallies[:, place], DRAWS))
        for place, (name, config) in enumerate(zip(ROWS, work.configs, strict=True))
    ], damaged
