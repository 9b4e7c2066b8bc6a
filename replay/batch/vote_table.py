"""The vote table: the votes that curation counts, as arrays.

Knows how steps are mapped to units and cut into spans; not what a vote weighs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Float32, Float64, Int32
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.chunk import Chunk
from replay.mapping import StepMasses, step_masses, step_votes, visible_steps, voting_steps


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


@dataclass(frozen=True)
class MassTable:
    """The masses to be curated cell by cell, where each step votes for every unit of its group.

    The N entries are a cell's units, ascending, cell after cell: `cell`, `source` (N,) int32.
    `groups`: the masses of each curation group, `steps` (S, 2): the spans, so that cell
    g · S + k is span k in group g; `pos`: the T tags of the response.
    """

    cells: int
    cell: Int32
    source: Int32
    groups: tuple[StepMasses, ...]
    steps: tuple[tuple[int, int], ...]
    pos: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.cell)

    def votes(self, weights: Mapping[str, float], other: float, gamma: float) -> Float64:
        """(N,) float64: what the units of each cell get, as `replay.attribution` adds it up."""
        of = [weights.get(tag, other) for tag in self.pos]
        found: list[float] = []
        for group in self.groups:
            given = group.weighted([of[t] for t in group.steps.tolist()], gamma)
            for steps in self.steps:
                found += group.votes(given, steps)
        return np.array(found, np.float64)


def mass_table(
    trace: Trace, units: Units, masses: Float32, competition: str, chunks: Sequence[Chunk]
) -> MassTable:
    """As `vote_table`, for `naming = "mass"`."""
    groups = step_masses(masses, units, trace.media, competition, visible_steps(trace))
    none = np.empty(0, np.int32)
    sizes = [len(group.units) for group in groups for _ in chunks]
    return MassTable(
        cells=len(sizes),
        cell=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        source=np.concatenate([none, *(group.units for group in groups for _ in chunks)]),
        groups=tuple(groups),
        steps=tuple(chunk.steps for chunk in chunks),
        pos=trace.pos,
    )


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
