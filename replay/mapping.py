"""Mapping: the unit that each step is traced to, and which units compete for it.

Knows masses and modalities; not where masses come from or how votes are curated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnitrace.timeline import Int32, Medium, Modality
from omnitrace.units import Units

Float32 = npt.NDArray[np.float32]


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


@dataclass(frozen=True)
class Voters:
    """The steps that vote in one heat, ascending: `steps` (k,) int64; `unit` (k,) int32, what each
    votes for; `confidence` (k,) float32."""

    steps: npt.NDArray[np.int64]
    unit: Int32
    confidence: Float32


def voters(mass: Float32, race: Race, wrote: npt.NDArray[np.bool_]) -> list[Voters]:
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


def _race(*heats: npt.NDArray[np.bool_]) -> list[Race]:
    """One race, or none without units."""
    members = tuple(np.flatnonzero(heat).astype(np.int32) for heat in heats)
    units = np.sort(np.concatenate(members))
    return [Race(units, members)] if len(units) else []
