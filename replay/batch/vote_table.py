"""The vote table: the votes that curation counts, as arrays, of one recording or of many.

Knows how steps are mapped to units and cut into spans; not what a vote weighs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnitrace.arrays import Float32, Int32, Int64
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.chunk import Chunk
from replay.mapping import best_of_columns, step_votes, voting_steps


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


def joined(parts: Sequence[VoteTable]) -> VoteTable:
    """The votes of many samples one after another, their cells numbered on."""
    first = np.cumsum([0, *(part.cells for part in parts)], dtype=np.int32)
    tags = tuple(dict.fromkeys(tag for part in parts for tag in part.tags))
    code = {tag: number for number, tag in enumerate(tags)}
    numbers = {p.tags: np.array([code[tag] for tag in p.tags], np.int32) for p in parts}
    lengths = [len(part) for part in parts]
    none = np.empty(0, np.int32)
    return VoteTable(
        cells=int(first[-1]),
        cell=np.concatenate([none, *(p.cell for p in parts)]) + np.repeat(first[:-1], lengths),
        source=np.concatenate([none, *(part.source for part in parts)]),
        tag=np.concatenate([none, *(numbers[part.tags][part.tag] for part in parts)]),
        confidence=np.concatenate([none.astype(np.float32), *(p.confidence for p in parts)]),
        tags=tags,
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


@dataclass(frozen=True)
class Stack:
    """Many samples in which all units compete together, ready to be mapped again and again.

    `votes`: their vote tables, joined; `widths`: the masses (m, N') of the voting steps of all
    samples with m units, and which votes these are (N',).
    """

    votes: VoteTable
    widths: tuple[tuple[Float32, Int64], ...]

    @classmethod
    def of(cls, parts: Sequence[tuple[VoteTable, Float32]]) -> Stack:
        """From the vote table of each sample and the masses (N, m) of the steps that vote."""
        first = np.cumsum([0, *(len(votes) for votes, _ in parts)])
        by_width: dict[int, list[int]] = {}
        for number, (_, masses) in enumerate(parts):
            by_width.setdefault(masses.shape[1], []).append(number)
        widths = tuple(
            (
                np.concatenate([parts[number][1].T for number in numbers], axis=1),
                np.concatenate([np.arange(first[n], first[n + 1]) for n in numbers]),
            )
            for numbers in by_width.values()
        )
        return cls(joined([votes for votes, _ in parts]), widths)

    def mapped(self) -> VoteTable:
        """The votes that the masses give: each step's vote goes to its heaviest unit."""
        source = np.full(len(self.votes), -1, np.int32)
        confidence = np.zeros(len(self.votes), np.float32)
        for masses, votes in self.widths:
            if len(masses):
                source[votes], confidence[votes] = best_of_columns(masses)
        return replace(self.votes, source=source, confidence=confidence)
