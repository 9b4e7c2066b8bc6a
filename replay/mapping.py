"""Mapping: the unit that each step is traced to, which units compete for it, and which steps vote.

Knows masses, modalities and spans; not where masses come from or how votes are curated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Bool, Float32, Float64, Int32, Int64
from omnitrace.sentences import first_visible
from omnitrace.timeline import Medium, Modality
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.chunk import Chunk


@dataclass(frozen=True)
class CandidateGroup:
    """Units that compete for a step: `units` (k,) int32, ascending.

    Votes for the winners are curated apart in each of `curation_groups`, (k_i,) int32, ascending,
    which partition the units.
    """

    units: Int32
    curation_groups: tuple[Int32, ...]


@dataclass(frozen=True)
class StepVotes:
    """The votes of one curation group: `steps` (k,) int64, ascending; `unit` (k,) int32, the unit
    that each step is traced to; `confidence` (k,) float32."""

    steps: Int64
    unit: Int32
    confidence: Float32


@dataclass(frozen=True)
class StepMasses:
    """All masses of one curation group, for `naming = "mass"`: `steps` (k,) int64, ascending;
    `units` (u,) int32, ascending; `mass` (k, u) float32."""

    steps: Int64
    units: Int32
    mass: Float32

    def weighted(self, weights: Sequence[float], gamma: float) -> Float64:
        """(k, u) float64: weight · max(M, 0)^γ; `weights`: k, one a step."""
        powers = np.float_power(np.maximum(self.mass.astype(np.float64), 0.0), gamma)
        return np.array(weights, np.float64)[:, None] * powers

    def votes(self, weighted: Float64, steps: tuple[int, int]) -> list[float]:
        """The votes for each of the units from the half-open range `steps`; `weighted` (k, u)."""
        part = slice(*np.searchsorted(self.steps, steps).tolist())
        votes: list[float] = weighted[part].sum(axis=0).tolist()
        return votes


def best_unit(mass: Float32, units: Int32) -> tuple[Int32, Float32]:
    """ŝ(t) and c_t (paper, Algorithm 1, lines 9-10), among `units` (k,) of `mass` (T, m).

    Returns (T,) int32 unit indices, -1 without units, and (T,) float32 confidences. Ties go to
    the lowest unit.
    """
    if not len(units):
        return np.full(len(mass), -1, np.int32), np.zeros(len(mass), np.float32)
    among = mass if len(units) == mass.shape[1] else mass[:, units]
    winner = among.argmax(axis=1)
    return units[winner], among[np.arange(len(among)), winner]


def step_votes(
    mass: Float32, units: Units, media: Sequence[Medium], competition: str, voting: Bool
) -> list[StepVotes]:
    """The votes of each curation group under `competition`, of the steps that are `voting` (T,).

    `mass` (T, m) are the masses of `units`.
    """
    votes = []
    for group in candidate_groups(units, media, competition):
        unit, confidence = best_unit(mass, group.units)
        for curated in group.curation_groups:
            steps = np.flatnonzero(voting & np.isin(unit, curated))
            votes.append(StepVotes(steps, unit[steps], confidence[steps]))
    return votes


def step_masses(
    mass: Float32, units: Units, media: Sequence[Medium], competition: str, voting: Bool
) -> list[StepMasses]:
    """As `step_votes`, where each step votes for every unit of a group."""
    steps = np.flatnonzero(voting)
    return [
        StepMasses(steps, curated, mass[np.ix_(steps, curated)])
        for group in candidate_groups(units, media, competition)
        for curated in group.curation_groups
    ]


def candidate_groups(
    units: Units, media: Sequence[Medium], competition: str
) -> list[CandidateGroup]:
    """Which units compete with one another.

    - `together`: all units, curated together (the paper);
    - `per-modality`: the units of each modality apart;
    - `release`: in a prompt with images (or without media) images and text together, their votes
      then curated apart; audio; the vision of videos; the audio of videos. A prompt whose media
      are all audio or video has no text sources, as in the paper's released code, which takes one
      kind of medium a prompt.
    """
    modality = units.modality
    if competition == "together":
        return _group(modality >= 0)
    if competition == "per-modality":
        return [group for kind in np.unique(modality) for group in _group(modality == kind)]
    kinds = {medium.kind for medium in media}
    of_video = np.isin(units.medium, [i for i, m in enumerate(media) if m.kind == "video"])
    text = (modality == Modality.TEXT) & ("image" in kinds or not kinds)
    audio = modality == Modality.AUDIO
    return [
        *_group(text, modality == Modality.IMAGE),
        *_group(audio & ~of_video),
        *_group(modality == Modality.VIDEO),
        *_group(audio & of_video),
    ]


def _group(*curated: Bool) -> list[CandidateGroup]:
    """One candidate group of the curation groups `curated` (m,), or none without units."""
    members = tuple(np.flatnonzero(units).astype(np.int32) for units in curated)
    units = np.sort(np.concatenate(members))
    return [CandidateGroup(units, members)] if len(units) else []


def visible_steps(trace: Trace) -> Bool:
    """(T,): which steps wrote a visible character; the others do not vote."""
    visible: Bool = first_visible(trace.response, trace.chars) >= 0
    return visible


def voting_steps(trace: Trace, chunks: Sequence[Chunk]) -> Bool:
    """(T,): which steps vote: those that lie in one of `chunks` and wrote a visible character."""
    inside = np.zeros(trace.T, np.bool_)
    for chunk in chunks:
        inside[slice(*chunk.steps)] = True
    return inside & visible_steps(trace)
