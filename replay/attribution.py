"""Attribution: a trace in, its spans with their sources out (paper, Algorithm 1).

`Replayer` keeps what is dear (the masses), so that changing a threshold costs milliseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from omnitrace.arrays import Bool, Float32, Float64, Int32
from omnitrace.trace import Trace
from omnitrace.units import UnitConfig, Units
from replay.batch.ballots import voting, wrote_something
from replay.cache import MassCache, mass_id
from replay.chunk import Chunk, chunk
from replay.config import PRESETS, CurationConfig, ReplayConfig
from replay.curate import Curation, Dropped, Source, curate, votes
from replay.mapping import Voters, best_unit, races, voters
from replay.mass import mass
from replay.pooled import pooled_mass
from replay.rows import of_heads, rows_of


@dataclass(frozen=True)
class Span:
    """A stretch of the response with its curated sources, best first, and those dropped.

    `start`, `end`: characters of the response; `steps`: half-open; `thinking`: whether it is
    thinking, of which no span holds a part only. Where units do not all compete together, sources
    stand competition by competition, each with its share of that one's votes.
    """

    text: str
    start: int
    end: int
    steps: tuple[int, int]
    sources: tuple[Source, ...]
    dropped: tuple[Dropped, ...]
    thinking: bool = False


@dataclass(frozen=True)
class Attribution:
    """What caused each span of a response, and what each step was traced to.

    - `mass` (T, m) float32; `unit` (T,) int32, -1 for none, `confidence`, `vote` (T,) float32: the
      mapping with all units competing together, whatever `config.competition` says. A step that
      wrote nothing visible (an end marker, a newline) is in no sentence and has no vote, nor has
      one outside the part of the response that `config.response` chooses;
    - `spans`: in order; every step of the chosen part lies in exactly one, the others in none.
    """

    id: str
    response: str
    config: ReplayConfig
    units: Units
    mass: Float32
    unit: Int32
    confidence: Float32
    vote: Float32
    spans: tuple[Span, ...]


def attribute(trace: Trace, config: ReplayConfig = PRESETS["default"]) -> Attribution:
    """The attribution of `trace` under `config`; OmniTraceError if its signal, segmentation or
    tags are not there."""
    return Replayer(trace).attribute(config)


class Replayer:
    """Attributes one trace again and again, cutting units and reading scores once a setting.

    With a `cache` and the `recording` that the trace is (`Run.vouched`), masses outlive it.
    """

    def __init__(self, trace: Trace, cache: MassCache | None = None, recording: str = "") -> None:
        self.trace = trace
        self._cache = cache if recording else None
        self._recording = recording
        self._tagged: dict[str, Trace] = {}
        self._units: dict[tuple[str, UnitConfig], Units] = {}
        self._mass: dict[tuple[object, ...], Float32] = {}
        self._best: dict[tuple[object, ...], tuple[Int32, Float32]] = {}
        self._voters: dict[tuple[object, ...], list[Voters]] = {}
        self._cast: dict[tuple[object, ...], tuple[object, _Cast]] = {}

    def tagged(self, tags: str) -> Trace:
        """The trace with the tags and sentences of that name; empty: those recorded."""
        if tags not in self._tagged:
            self._tagged[tags] = self.trace.tagged(tags)
        return self._tagged[tags]

    def units(self, config: UnitConfig, tags: str = "") -> Units:
        """The trace's units under `config`, its sentences those of `tags`."""
        if (tags, config) not in self._units:
            self._units[tags, config] = self.tagged(tags).units(config)
        return self._units[tags, config]

    def mass(self, config: ReplayConfig) -> Float32:
        """(T, m) float32: the masses under `config`; reading scores may touch the disk."""
        key = mass_key(config)
        if key not in self._mass:
            units = self.units(config.units, config.tags)
            make = partial(_mass, self.trace, units, config)
            self._mass[key] = make() if self._cache is None else self._kept(key, units, make)
        return self._mass[key]

    def _kept(self, key: tuple[object, ...], units: Units, make: Callable[[], Float32]) -> Float32:
        assert self._cache is not None
        shape = (self.trace.T, len(units))
        return self._cache.get(mass_id(self._recording, units, key), shape, make)

    def best(self, config: ReplayConfig) -> tuple[Int32, Float32]:
        """The mapping (T,) with all units competing together, and its confidences (T,)."""
        key = mass_key(config)
        if key not in self._best:
            every = np.arange(len(self.units(config.units, config.tags)), dtype=np.int32)
            self._best[key] = best_unit(self.mass(config), every)
        return self._best[key]

    def voters(self, config: ReplayConfig) -> list[Voters]:
        """Who votes, heat by heat: all that curation needs, so that masses are not looked at
        again when only a threshold changes."""
        key = (*mass_key(config), config.competition)
        if key not in self._voters:
            trace, masses = self.tagged(config.tags), self.mass(config)
            units = self.units(config.units, config.tags)
            wrote = wrote_something(trace)
            self._voters[key] = [
                heat
                for race in races(units, trace.media, config.competition)
                for heat in voters(masses, race, wrote)
            ]
        return self._voters[key]

    def spans(self, config: ReplayConfig) -> list[Chunk]:
        """The spans of the part of the response that `config` chooses, before attribution."""
        trace = self.tagged(config.tags)
        return chunk(trace, config.chunker, config.window, config.response)

    def _counted(self, config: ReplayConfig) -> _Cast:
        """What is cast under `config`; kept until what votes weigh changes."""
        key, weighed = (*mass_key(config), config.competition), _weighed(config.curation)
        if key not in self._cast or self._cast[key][0] != weighed:
            trace, (_, confidence) = self.tagged(config.tags), self.best(config)
            ballots = [_ballot(trace, heat, config.curation) for heat in self.voters(config)]
            vote = _votes(trace, confidence, config.curation).astype(np.float32)
            self._cast[key] = weighed, _Cast(ballots, vote)
        return self._cast[key][1]

    def attribute(self, config: ReplayConfig) -> Attribution:
        """As the function `attribute`."""
        trace, masses = self.tagged(config.tags), self.mass(config)
        units = self.units(config.units, config.tags)
        unit, confidence = self.best(config)
        cast, pieces = self._counted(config), self.spans(config)
        return Attribution(
            id=trace.id,
            response=trace.response,
            config=config,
            units=units,
            mass=masses,
            unit=unit,
            confidence=confidence,
            vote=np.where(voting(trace, pieces), cast.vote, np.float32(0)),
            spans=tuple(
                _span(trace, piece, cast.ballots, config.curation, units.unnamed)
                for piece in pieces
            ),
        )


def mass_key(config: ReplayConfig) -> tuple[object, ...]:
    """All of `config` that masses depend on."""
    return (
        config.signal,
        config.layers,
        config.heads,
        config.first_step,
        config.reduce,
        config.indirect,
        config.tags,
        config.units,
    )


def _mass(trace: Trace, units: Units, config: ReplayConfig) -> Float32:
    if of_heads(trace, config) and "queries" not in trace.arrays:
        return pooled_mass(trace, units, config)
    return mass(rows_of(trace, config), units, config.reduce, config.indirect)


@dataclass(frozen=True)
class _Ballot:
    """The steps (ascending) that vote in one curation, the sources they vote for, their votes."""

    steps: list[int]
    sources: list[int]
    votes: list[float]

    def curate(self, steps: tuple[int, int], config: CurationConfig) -> Curation:
        part = slice(bisect_left(self.steps, steps[0]), bisect_left(self.steps, steps[1]))
        return curate(self.sources[part], self.votes[part], config)


@dataclass(frozen=True)
class _Cast:
    """The ballots of every heat, and what each step's vote (T,) float32 weighs in the mapping."""

    ballots: list[_Ballot]
    vote: Float32


def _weighed(config: CurationConfig) -> object:
    """All that a vote's weight depends on."""
    return config.gamma, config.pos_other, config.pos_weights


def _ballot(trace: Trace, heat: Voters, config: CurationConfig) -> _Ballot:
    """The votes of one heat."""
    pos = [trace.pos[t] for t in heat.steps.tolist()]
    cast = votes(pos, heat.confidence.tolist(), config)
    return _Ballot(heat.steps.tolist(), heat.unit.tolist(), cast)


def _votes(trace: Trace, confidence: Float32, config: CurationConfig) -> Float64:
    """(T,) float64: w_t of every step, whether it votes or not."""
    return np.array(votes(trace.pos, confidence.tolist(), config), np.float64)


def _span(
    trace: Trace, piece: Chunk, ballots: list[_Ballot], config: CurationConfig, unnamed: Bool
) -> Span:
    curations = [_named(ballot.curate(piece.steps, config), unnamed) for ballot in ballots]
    return Span(
        text=trace.response[piece.start : piece.end],
        start=piece.start,
        end=piece.end,
        steps=piece.steps,
        sources=tuple(source for c in curations for source in c.sources),
        dropped=tuple(source for c in curations for source in c.dropped),
        thinking=piece.thinking,
    )


def _named(curation: Curation, unnamed: Bool) -> Curation:
    """The curation without units that only compete, which `request` names as the rule."""
    return Curation(
        tuple(s for s in curation.sources if not unnamed[s.unit]),
        tuple(Dropped(s.unit, s.mass, "request") for s in curation.sources if unnamed[s.unit])
        + curation.dropped,
    )
