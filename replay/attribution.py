"""Attribution: a trace in, its spans with their sources out (paper, Algorithm 1).

`Replayer` keeps what is expensive (the masses), so that changing a threshold costs milliseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

import numpy as np

from omnitrace.arrays import Bool, Float32, Float64, Int32
from omnitrace.trace import Trace
from omnitrace.units import UnitConfig, Units
from replay.cache import MassCache, mass_id
from replay.chunk import Chunk, chunk
from replay.config import (
    PRESETS,
    CauseStage,
    CurationConfig,
    MappingStage,
    MassStage,
    ReliabilityConfig,
    ReplayConfig,
    ScoreStage,
    SpanStage,
    TokenStage,
    UnitStage,
    VoteStage,
    stage,
)
from replay.curate import Curation, Dropped, Source, curate, pos_weights, votes
from replay.faithfulness.verdict import CAUSED, Removals, Verdict, judge, removals
from replay.mapping import (
    StepMasses,
    StepVotes,
    best_unit,
    step_masses,
    step_votes,
    visible_steps,
    voting_steps,
)
from replay.mass import PLACES, UNITS, Masses, Taken, mass_of
from replay.reliability import Reliability, read_calibration, reliability_of, unattributable
from replay.tokens import dropped_tokens

R = TypeVar("R")
Stages = TypeVarTuple("Stages")
MassKey = tuple[UnitStage, ScoreStage, TokenStage, MassStage]

LEAST_LISTED = 0.01
"""The least share of a dropped source that is listed where every unit has votes."""


@dataclass(frozen=True)
class Span:
    """A stretch of the response with its curated sources, best first, and those dropped.

    `start`, `end`: characters of the response; `steps`: half-open; `thinking`: whether it is
    thinking, of which no span holds a part only. Where units do not all compete together, sources
    stand competition by competition, each with its share of that one's votes. `verdicts`: each
    unit whose removal was recorded, with what it did. `reliability`: how far the best source can be
    trusted, None for a span without sources; `unattributable`: the key of `config.reliability` that
    took its sources away, empty if none did.
    """

    text: str
    start: int
    end: int
    steps: tuple[int, int]
    sources: tuple[Source, ...]
    dropped: tuple[Dropped, ...]
    thinking: bool = False
    verdicts: tuple[tuple[int, Verdict], ...] = ()
    reliability: Reliability | None = None
    unattributable: str = ""

    @property
    def judged(self) -> tuple[Verdict, ...]:
        """A verdict for each source."""
        known = dict(self.verdicts)
        return tuple(known.get(source.unit, Verdict()) for source in self.sources)


@dataclass(frozen=True)
class Attribution:
    """What caused each span of a response, and what each step was traced to.

    - `mass` (T, m) float32; `unit` (T,) int32, -1 for none, `confidence`, `vote` (T,) float32: the
      mapping with all units competing together, whatever `config.competition` is. A step that
      wrote nothing visible (an end marker, a newline) is in no sentence and has no vote, nor has
      one outside the part of the response that `config.response` chooses;
    - `places` (T, 5) float32, by `replay.mass.PLACES`: where each step's scores lie, as shares; NaN
      for a step that does not vote, and where recorded heads do not tell;
    - `dropped` (n,) bool: the prompt tokens that a filter dropped, so that they carry no mass;
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
    places: Float32
    dropped: Bool

    def where(self, steps: tuple[int, int] | None = None) -> dict[str, float]:
        """Where the scores of the voting steps in the half-open range `steps` (all by default) lie,
        by `PLACES`: mean shares; empty where it is not known or none votes."""
        part = self.places[slice(*steps) if steps else slice(None)]
        known = part[np.isfinite(part).all(axis=1)]
        if not len(known):
            return {}
        return dict(zip(PLACES, known.mean(axis=0, dtype=np.float64).tolist(), strict=True))

    @property
    def sinks(self) -> float:
        """The share of the scores on the prompt that lies on no unit and not on the request: on the
        template, the first token and tokens that were dropped. NaN where it is not known."""
        where = self.where()
        prompt = sum(share for place, share in where.items() if place != "answer")
        return (where["template"] + where["filtered"]) / prompt if prompt > 0 else float("nan")


def attribute(trace: Trace, config: ReplayConfig = PRESETS["default"]) -> Attribution:
    """The attribution of `trace` under `config`; OmniTraceError if its signal, segmentation or
    tags are not there."""
    return Replayer(trace).attribute(config)


def mass_key(config: ReplayConfig) -> MassKey:
    """The stages that masses depend on."""
    return (
        stage(config, UnitStage),
        stage(config, ScoreStage),
        stage(config, TokenStage),
        stage(config, MassStage),
    )


@dataclass(frozen=True)
class _GroupVotes:
    """The votes of one curation group: the steps (ascending), the unit and the weight of each."""

    steps: list[int]
    units: list[int]
    weights: list[float]

    def curate(self, steps: tuple[int, int], config: CurationConfig) -> Curation:
        """The curated sources of the half-open range `steps`."""
        part = slice(bisect_left(self.steps, steps[0]), bisect_left(self.steps, steps[1]))
        return curate(self.units[part], self.weights[part], config)


@dataclass(frozen=True)
class _GroupMasses:
    """The same of one curation group where each step votes for every unit of it.

    `weighted` (k, u) float64: what each step gives to each unit.
    """

    group: StepMasses
    weighted: Float64

    def curate(self, steps: tuple[int, int], config: CurationConfig) -> Curation:
        """The curated sources of the half-open range `steps`, and the larger ones of those dropped:
        every unit has some share."""
        own = self.group.votes(self.weighted, steps)
        found = curate(self.group.units.tolist(), own, config)
        return Curation(found.sources, tuple(d for d in found.dropped if d.mass >= LEAST_LISTED))


@dataclass(frozen=True)
class _Votes:
    """The votes of every curation group; the same where only units that can be named compete, empty
    unless spans are mapped again; and the weight (T,) float32 of each step's vote in the mapping
    with all units competing."""

    groups: list[_GroupVotes | _GroupMasses]
    named: list[_GroupVotes | _GroupMasses]
    weight: Float32


class Replayer:
    """Attributes one trace again and again, computing once what configurations share.

    Every kept result is a function of stages of the configuration alone, which are its key.
    With a `cache` and the `recording` that the trace is (`Run.content_id`), masses outlive it.
    """

    def __init__(self, trace: Trace, cache: MassCache | None = None, recording: str = "") -> None:
        self.trace = trace
        self._cache = cache if recording else None
        self._recording = recording
        self._kept: dict[tuple[object, ...], Any] = {}
        self._last_votes: dict[tuple[object, ...], tuple[VoteStage, _Votes]] = {}

    def tagged(self, tags: str) -> Trace:
        """The trace with the tags and sentences of that name; empty: those recorded."""
        return self._once(self.trace.tagged, tags)

    def units(self, config: UnitConfig, tags: str = "") -> Units:
        """The trace's units under `config`, its sentences those of `tags`."""
        return self._once(self._units, UnitStage(config, tags))

    def mass(self, config: ReplayConfig) -> Float32:
        """(T, m) float32: the masses under `config`; reading scores may touch the disk."""
        return self._once(self._mass, *mass_key(config))

    def spans(self, config: ReplayConfig) -> list[Chunk]:
        """The spans of the part of the response that `config` chooses, before attribution."""
        return self._once(self._spans, config.tags, stage(config, SpanStage))

    def attribute(self, config: ReplayConfig) -> Attribution:
        """As the function `attribute`."""
        key, trace = mass_key(config), self.tagged(config.tags)
        units, mass = self._once(self._units, key[0]), self._once(self._mass, *key)
        unit, confidence = self._once(self._best, *key)
        votes, chunks = self._votes(key, config), self.spans(config)
        voting = voting_steps(trace, chunks)
        places = self._once(self._masses, *key).places
        places = np.where(voting[:, None], places, np.float32(np.nan))
        spans = (
            self._judged(_span(trace, piece, votes, config.curation, units.unnamed), config)
            for piece in chunks
        )
        return Attribution(
            id=trace.id,
            response=trace.response,
            config=config,
            units=units,
            mass=mass,
            unit=unit,
            confidence=confidence,
            vote=np.where(voting, votes.weight, np.float32(0)),
            spans=_reliable([*spans], places, config.reliability),
            places=places,
            dropped=self._once(self._dropped, *key[:3]),
        )

    def _once(self, compute: Callable[[*Stages], R], *stages: *Stages) -> R:
        """`compute(*stages)`, computed once; it is given nothing of a configuration but its key."""
        key = (compute.__name__, *stages)
        if key not in self._kept:
            self._kept[key] = compute(*stages)
        result: R = self._kept[key]
        return result

    def _judged(self, span: Span, config: ReplayConfig) -> Span:
        """The span with a verdict on each source, its sources as `config.confirmed` says."""
        units = stage(config, UnitStage)
        recorded = self._once(self._removals, units)
        if not recorded.tested.any():
            return span
        effects = recorded.effects(span.steps)
        named = np.where(self._once(self._units, units).unnamed, np.nan, effects)
        found = judge(span.sources, span.dropped, named, stage(config, CauseStage))
        return replace(span, sources=found.sources, dropped=found.dropped, verdicts=found.verdicts)

    def _removals(self, units: UnitStage) -> Removals:
        trace = self.tagged(units.tags)
        return removals(trace, self._once(self._units, units), visible_steps(trace))

    def _units(self, units: UnitStage) -> Units:
        return self.tagged(units.tags).units(units.units)

    def _spans(self, tags: str, spans: SpanStage) -> list[Chunk]:
        return chunk(self.tagged(tags), spans.chunker, spans.window, spans.response)

    def _dropped(self, units: UnitStage, scores: ScoreStage, tokens: TokenStage) -> Bool:
        """(n,): the tokens that a filter drops; without a filter nothing is read."""
        return dropped_tokens(self.trace, self._once(self._units, units), scores, tokens.tokens)

    def _masses(
        self, units: UnitStage, scores: ScoreStage, tokens: TokenStage, masses: MassStage
    ) -> Masses:
        cut = self._once(self._units, units)
        taken = Taken(self._once(self._dropped, units, scores, tokens), self._left_out(units))
        compute = partial(mass_of, self.trace, cut, scores, tokens.tokens, masses, taken)
        if self._cache is None:
            return compute()
        id = mass_id(self._recording, cut, scores, masses, taken.id(scores, tokens.tokens))
        shape = self.trace.T, len(cut) + len(PLACES)
        return Masses.of_table(self._cache.get(id, shape, lambda: compute().table))

    def _left_out(self, units: UnitStage) -> Bool:
        """(n,): the tokens of a request that the units leave out."""
        if units.units.request != "leave-out":
            return np.zeros(self.trace.n, np.bool_)
        stage = replace(units, units=replace(units.units, request="unnamed"))
        cut = self._once(self._units, stage)
        return np.append(cut.unnamed, False)[cut.owner_of_tokens(self.trace.n)]

    def _mass(self, *masses: *MassKey) -> Float32:
        return self._once(self._masses, *masses).mass

    def _best(self, *masses: *MassKey) -> tuple[Int32, Float32]:
        """The mapping (T,) with all units competing together, and its confidences (T,)."""
        mass = self._once(self._masses, *masses).mass
        return best_unit(mass, np.arange(mass.shape[1], dtype=np.int32))

    def _step_votes(
        self, masses: MassKey, mapping: MappingStage, named: bool
    ) -> Sequence[StepVotes | StepMasses]:
        """The votes of each curation group: all that curation needs, so that masses are not read
        again when only a threshold changes. `named`: those where units that only compete do not."""
        trace, cut = self.tagged(masses[0].tags), self._once(self._units, masses[0])
        mass = self._once(self._masses, *masses).mass
        if named:
            mass = np.where(cut.unnamed, np.float32(-np.inf), mass)
        collect = step_masses if mapping.naming == "mass" else step_votes
        found = collect(mass, cut, trace.media, mapping.competition, visible_steps(trace))
        return [_without(group, cut.unnamed) for group in found] if named else found

    def _votes(self, masses: MassKey, config: ReplayConfig) -> _Votes:
        """The weighted votes; of each mapping only those of the last weights are kept."""
        key, weights = (masses, stage(config, MappingStage)), stage(config.curation, VoteStage)
        known = self._last_votes.get(key)
        if known is None or known[0] != weights:
            known = weights, self._weighted(*key, weights)
            self._last_votes[key] = known
        return known[1]

    def _groups(
        self, masses: MassKey, mapping: MappingStage, weights: VoteStage, *, named: bool
    ) -> list[_GroupVotes | _GroupMasses]:
        pos = self.tagged(masses[0].tags).pos
        found = self._once(self._step_votes, masses, mapping, named)
        return [_weigh(group, pos, weights) for group in found]

    def _weighted(self, masses: MassKey, mapping: MappingStage, weights: VoteStage) -> _Votes:
        """The votes of each curation group, and of all T steps, whether they vote or not."""
        groups, named = self._groups(masses, mapping, weights, named=False), []
        if masses[0].units.request == "remap":
            named = self._groups(masses, mapping, weights, named=True)
        _, confidence = self._once(self._best, *masses)
        pos = self.tagged(masses[0].tags).pos
        every = np.array(votes(pos, confidence.tolist(), weights), np.float64)
        return _Votes(groups, named, every.astype(np.float32))


def _by_request(curation: Curation) -> tuple[Dropped, ...]:
    """The units that were dropped because they only compete."""
    return tuple(d for d in curation.dropped if d.rule == "request")


def _without(group: StepVotes | StepMasses, unnamed: Bool) -> StepVotes | StepMasses:
    """The votes of a group without those for units that only compete."""
    if isinstance(group, StepMasses):
        of = ~unnamed[group.units]
        return StepMasses(group.steps, group.units[of], group.mass[:, of])
    of = ~unnamed[group.unit]
    return StepVotes(group.steps[of], group.unit[of], group.confidence[of])


def _weigh(
    group: StepVotes | StepMasses, pos: Sequence[str], weights: VoteStage
) -> _GroupVotes | _GroupMasses:
    steps = group.steps.tolist()
    tags = [pos[t] for t in steps]
    if isinstance(group, StepMasses):
        return _GroupMasses(group, group.weighted(pos_weights(tags, weights), weights.gamma))
    own = votes(tags, group.confidence.tolist(), weights)
    return _GroupVotes(steps, group.unit.tolist(), own)


def _span(trace: Trace, piece: Chunk, votes: _Votes, config: CurationConfig, unnamed: Bool) -> Span:
    curations = [_named(group.curate(piece.steps, config), unnamed) for group in votes.groups]
    alone = not any(c.sources for c in curations) and any(map(_by_request, curations))
    if votes.named and alone:
        again = [group.curate(piece.steps, config) for group in votes.named]
        if any(c.sources for c in again):
            curations = [
                Curation(own.sources, _by_request(before) + own.dropped)
                for before, own in zip(curations, again, strict=True)
            ]
    return Span(
        text=trace.response[piece.start : piece.end],
        start=piece.start,
        end=piece.end,
        steps=piece.steps,
        sources=tuple(source for c in curations for source in c.sources),
        dropped=tuple(source for c in curations for source in c.dropped),
        thinking=piece.thinking,
    )


def _reliable(
    spans: Sequence[Span], places: Float32, config: ReliabilityConfig
) -> tuple[Span, ...]:
    """The spans with their reliability; without their sources where that is below what `config`
    wants, unless a recorded removal shows that one of them caused the span."""
    calibration = read_calibration(config.calibration)
    known = np.isfinite(places[:, UNITS])
    units = np.cumsum(np.append(0.0, np.where(known, places[:, UNITS], 0))).tolist()
    steps = np.cumsum(np.append(0, known)).tolist()
    found = []
    for span in spans:
        first, last = span.steps
        count = steps[last] - steps[first]
        nameable = (units[last] - units[first]) / count if count else float("nan")
        reliability = reliability_of(span.sources, span.dropped, nameable, calibration)
        why = unattributable(reliability, config) if reliability else ""
        if why and not any(verdict.cause == CAUSED for verdict in span.judged):
            lost = (Dropped(s.unit, s.mass, why) for s in span.sources)
            span = replace(span, sources=(), dropped=(*lost, *span.dropped), unattributable=why)
        found.append(replace(span, reliability=reliability))
    return tuple(found)


def _named(curation: Curation, unnamed: Bool) -> Curation:
    """The curation without units that only compete, which `request` names as the rule."""
    return Curation(
        tuple(s for s in curation.sources if not unnamed[s.unit]),
        tuple(Dropped(s.unit, s.mass, "request") for s in curation.sources if unnamed[s.unit])
        + curation.dropped,
    )
