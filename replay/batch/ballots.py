"""Ballots: the votes that curation counts, as arrays, one recording or many.

Knows how steps are mapped to units and cut into spans; not what a vote weighs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnitrace.arrays import Bool, Float32, Int32, Int64
from omnitrace.sentences import first_visible
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.chunk import Chunk
from replay.mapping import best_of_columns, races, voters


@dataclass(frozen=True)
class Ballots:
    """N votes to be curated cell by cell; a cell is a span in one competition, or a span.

    `cell` (N,) int32, ascending, below `cells`; `source` (N,) int32: what each step is traced to;
    `tag` (N,) int32: its part of speech, an index into `tags`; `confidence` (N,) float32. Within a
    cell the steps are in order.
    """

    cells: int
    cell: Int32
    source: Int32
    tag: Int32
    confidence: Float32
    tags: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.cell)


def joined(parts: Sequence[Ballots]) -> Ballots:
    """The ballots of many samples one after another, their cells numbered on."""
    first = np.cumsum([0, *(part.cells for part in parts)], dtype=np.int32)
    tags = tuple(dict.fromkeys(tag for part in parts for tag in part.tags))
    code = {tag: number for number, tag in enumerate(tags)}
    numbers = {p.tags: np.array([code[tag] for tag in p.tags], np.int32) for p in parts}
    lengths = [len(part) for part in parts]
    none = np.empty(0, np.int32)
    return Ballots(
        cells=int(first[-1]),
        cell=np.concatenate([none, *(p.cell for p in parts)]) + np.repeat(first[:-1], lengths),
        source=np.concatenate([none, *(part.source for part in parts)]),
        tag=np.concatenate([none, *(numbers[part.tags][part.tag] for part in parts)]),
        confidence=np.concatenate([none.astype(np.float32), *(p.confidence for p in parts)]),
        tags=tags,
    )


def ballots(
    trace: Trace, units: Units, masses: Float32, competition: str, pieces: Sequence[Chunk]
) -> Ballots:
    """What `replay.attribute` curates: a cell a span, the spans of one heat after another's."""
    votes = voting(trace, pieces)
    heats = [
        heat
        for race in races(units, trace.media, competition)
        for heat in voters(masses, race, votes)
    ]
    ends = [piece.steps[1] for piece in pieces]
    cells = [
        number * len(pieces) + np.searchsorted(ends, heat.steps, side="right")
        for number, heat in enumerate(heats)
    ]
    code = {tag: number for number, tag in enumerate(dict.fromkeys(trace.pos))}
    tag = np.array([code[name] for name in trace.pos], np.int32)
    none = np.empty(0, np.int32)
    return Ballots(
        cells=len(heats) * len(pieces),
        cell=np.concatenate([none, *cells]).astype(np.int32),
        source=np.concatenate([none, *(heat.unit for heat in heats)]),
        tag=np.concatenate([none, *(tag[heat.steps] for heat in heats)]),
        confidence=np.concatenate([none.astype(np.float32), *(h.confidence for h in heats)]),
        tags=tuple(code),
    )


@dataclass(frozen=True)
class Stack:
    """Many samples in which all units compete together, ready to be mapped again and again.

    `ballots`: theirs, joined; `widths`: the masses (m, N') of the voting steps of all samples with
    m units, and which votes these are (N',).
    """

    ballots: Ballots
    widths: tuple[tuple[Float32, Int64], ...]

    @classmethod
    def of(cls, parts: Sequence[tuple[Ballots, Float32]]) -> Stack:
        """From the ballots of each sample and the masses (N, m) of the steps that vote."""
        first = np.cumsum([0, *(len(cast) for cast, _ in parts)])
        groups: dict[int, list[int]] = {}
        for number, (_, masses) in enumerate(parts):
            groups.setdefault(masses.shape[1], []).append(number)
        widths = tuple(
            (
                np.concatenate([parts[number][1].T for number in numbers], axis=1),
                np.concatenate([np.arange(first[n], first[n + 1]) for n in numbers]),
            )
            for numbers in groups.values()
        )
        return cls(joined([cast for cast, _ in parts]), widths)

    def cast(self) -> Ballots:
        """The ballots that the masses give: each step's vote goes to its heaviest unit."""
        source = np.full(len(self.ballots), -1, np.int32)
        confidence = np.zeros(len(self.ballots), np.float32)
        for masses, votes in self.widths:
            if len(masses):
                source[votes], confidence[votes] = best_of_columns(masses)
        return replace(self.ballots, source=source, confidence=confidence)


def voting(trace: Trace, pieces: Sequence[Chunk]) -> Bool:
    """(T,): which steps vote: those that lie in one of `pieces` and wrote a visible character."""
    inside = np.zeros(trace.T, np.bool_)
    for piece in pieces:
        inside[slice(*piece.steps)] = True
    return inside & wrote_something(trace)


def wrote_something(trace: Trace) -> Bool:
    """(T,): which steps wrote a visible character; the others do not vote."""
    wrote: Bool = first_visible(trace.response, trace.chars) >= 0
    return wrote
