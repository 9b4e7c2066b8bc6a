"""Mapping: the unit that each step is traced to, and which units compete for it.

Knows masses and modalities; not where masses come from or how votes are curated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Bool, Float32, Int32, Int64
from omnitrace.timeline import Medium, Modality
from omnitrace.units import Units

BLOCK_COLUMNS = 4096
"""Steps mapped at once, so that a processor's cache holds what is compared."""


@dataclass(frozen=True)
class Race:
    """Units that compete for a step, (k,) int32 ascending; the winner's vote is curated among
    those of its own `heat`. The heats partition the units."""

    units: Int32
    heats: tuple[Int32, ...]


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


def best_of_columns(mass: Float32) -> tuple[Int32, Float32]:
    """`best_unit` among all of m > 0 units, from masses (m, N) that are numbers: a column a step.

    So laid out, maxima are taken of many steps at once, in a third of the time.
    """
    units, steps = mass.shape
    earliest = np.arange(units, 0, -1).astype(np.int8 if units < 128 else np.int32)[:, None]
    unit, confidence = np.empty(steps, np.int32), np.empty(steps, np.float32)
    for first in range(0, steps, BLOCK_COLUMNS):
        part = slice(first, first + BLOCK_COLUMNS)
        among = mass[:, part]
        confidence[part] = np.maximum.reduce(among, axis=0)
        unit[part] = ((among == confidence[part]) * earliest).max(axis=0)
    return units - unit, confidence


@dataclass(frozen=True)
class Voters:
    """The steps that vote in one heat, ascending: `steps` (k,) int64; `unit` (k,) int32, what each
    votes for; `confidence` (k,) float32."""

    steps: Int64
    unit: Int32
    confidence: Float32


def voters(mass: Float32, race: Race, wrote: Bool) -> list[Voters]:
    """Who votes in each heat of `race`, of the steps that `wrote` (T,) something."""
    unit, confidence = best_unit(mass, race.units)
    chosen = [np.flatnonzero(wrote & np.isin(unit, heat)) for heat in race.heats]
    return [Voters(steps, unit[steps], confidence[steps]) for steps in chosen]


def races(units: Units, media: Sequence[Medium], competition: str) -> list[Race]:
    """Who competes with whom.

    - `together`: all units, curated together (the paper);
    - `per-modality`: the units of each modality apart;
    - `release`: in a prompt with images (or without media) images and text together, their votes
      then curated apart; audio; the vision of videos; the sound of videos. A prompt whose media
      are all audio or video has no text sources, as in the paper's released code, which takes one
      kind of medium a prompt.
    """
    modality = units.modality
    if competition == "together":
        return _race(modality >= 0)
    if competition == "per-modality":
        return [race for kind in np.unique(modality) for race in _race(modality == kind)]
    kinds = {medium.kind for medium in media}
    filmed = np.isin(units.medium, [i for i, m in enumerate(media) if m.kind == "video"])
    text = (modality == Modality.TEXT) & ("image" in kinds or not kinds)
    audio = modality == Modality.AUDIO
    return [
        *_race(text, modality == Modality.IMAGE),
        *_race(audio & ~filmed),
        *_race(modality == Modality.VIDEO),
        *_race(audio & filmed),
    ]


def _race(*heats: Bool) -> list[Race]:
    """One race, or none without units."""
    members = tuple(np.flatnonzero(heat).astype(np.int32) for heat in heats)
    units = np.sort(np.concatenate(members))
    return [Race(units, members)] if len(units) else []
