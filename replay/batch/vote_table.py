"""The vote table: the votes that curation counts, as arrays.

Knows how steps are mapped to units and cut into spans; not what a vote weighs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Float32, Int32
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.chunk import Chunk
from replay.mapping import step_votes, voting_steps


@dataclass(frozen=True)
class VoteTable:
    """N votes to be curated cell by cell; a cell is one span in one curation group.

    `cell` (N,) int32, ascending, below `cells`; `source` (N,) int32: the unit that each step is
    traced to; `tag` (N,) int32: its part of speech, an index into `tags`; `confidence` (N,)
    float32. Within a cell the steps are in order.
    """

    cells: int
    cell: Int32
    source: Int32
    tag: Int32
    confidence: Float32
    tags: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.cell)


def vote_table(
    trace: Trace, units: Units, masses: Float32, competition: str, chunks: Sequence[Chunk]
) -> VoteTable:
    """The votes that `replay.attribute` curates, from `masses` (T, m): a cell a span, the spans of
    one curation group after those of another."""
    voting = voting_steps(trace, chunks)
    groups = step_votes(masses, units, trace.media, competition, voting)
    ends = [chunk.steps[1] for chunk in chunks]
    cells = [
        number * len(chunks) + np.searchsorted(ends, votes.steps, side="right")
        for number, votes in enumerate(groups)
    ]
    code = {tag: number for number, tag in enumerate(dict.fromkeys(trace.pos))}
    tag = np.array([code[name] for name in trace.pos], np.int32)
    none = np.empty(0, np.int32)
    return VoteTable(
        cells=len(groups) * len(chunks),
        cell=np.concatenate([none, *cells]).astype(np.int32),
        source=np.concatenate([none, *(votes.unit for votes in groups)]),
        tag=np.concatenate([none, *(tag[votes.steps] for votes in groups)]),
        confidence=np.concatenate([none.astype(np.float32), *(v.confidence for v in groups)]),
        tags=tuple(code),
    )
