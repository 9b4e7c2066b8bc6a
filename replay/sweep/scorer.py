"""Many configurations on one sample: what is expensive is computed once for all that share it.

Knows traces, golds and configurations; not which samples there are, nor what the scores are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnitrace.arrays import Bool, Float64
from omnitrace.config import digest
from replay.attribution import Replayer
from replay.batch.curation import CurationPlan, Curations, curate_many
from replay.batch.vote_table import mass_table, vote_table
from replay.config import CurationConfig, ReplayConfig
from replay.evaluation.gold import Gold
from replay.evaluation.scores import judge
from replay.evaluation.space import COLUMNS
from replay.sweep.tallies import tallies

CONFIGS_AT_ONCE = 1024
"""Configurations curated at once, so that their tables stay small whatever the sweep's size."""


@dataclass(frozen=True)
class Group:
    """Configurations that differ only in curation: `plan` for those numbered `configs`."""

    config: ReplayConfig
    configs: list[int]
    plan: CurationPlan


class Scorer:
    """Scores samples under `configs`; the same for every sample, so made once a process."""

    def __init__(self, configs: Sequence[ReplayConfig]) -> None:
        self.count = len(configs)
        self._groups = [
            Group(
                configs[part[0]], part, CurationPlan([configs[number].curation for number in part])
            )
            for numbers in grouped(configs)
            for part in _pieces(numbers)
        ]

    def tallies(self, replayer: Replayer, gold: Gold) -> Float64:
        """(G, 5, 7) float64: every configuration's `replay.evaluation.tally` of this sample."""
        found = np.zeros((self.count, len(COLUMNS), 7))
        for group in self._groups:
            found[group.configs] = _of_group(replayer, gold, group)
        return found


def grouped(configs: Sequence[ReplayConfig]) -> list[list[int]]:
    """The numbers of the configurations that are equal but for curation, group by group."""
    groups: dict[str, list[int]] = {}
    for number, config in enumerate(configs):
        key = digest(replace(config, curation=CurationConfig()))
        groups.setdefault(key, []).append(number)
    return list(groups.values())


def _pieces(numbers: list[int]) -> list[list[int]]:
    return [numbers[at : at + CONFIGS_AT_ONCE] for at in range(0, len(numbers), CONFIGS_AT_ONCE)]


def _looks_at_spans(config: ReplayConfig) -> bool:
    """Whether a span's sources depend on more than its votes: on removals or its reliability."""
    trust = config.reliability
    return config.confirmed != "off" or bool(trust.nameable or (trust.calibration and trust.least))


def _of_group(replayer: Replayer, gold: Gold, group: Group) -> Float64:
    config = group.config
    if _looks_at_spans(config):
        configs = [replace(config, curation=curation) for curation in group.plan.configs]
        return np.array([judge(replayer.attribute(one), gold).tally for one in configs])
    trace = replayer.tagged(config.tags)
    units = replayer.units(config.units, config.tags)
    pieces = replayer.spans(config)
    collect = mass_table if config.naming == "mass" else vote_table
    table = collect(trace, units, replayer.mass(config), config.competition, pieces)
    steps = np.array([piece.steps for piece in pieces], np.int32).reshape(-1, 2)
    claims = gold.space.claims(units)
    curations = curate_many(table, group.plan)
    found = tallies(gold.within(steps), claims, steps, curations)
    lost = _lost_to_request(curations, units.unnamed, len(steps))
    for number in lost if config.units.request == "remap" else ():
        one = replace(config, curation=group.plan.configs[number])
        found[number] = judge(replayer.attribute(one), gold).tally
    return found


def _lost_to_request(curations: Curations, unnamed: Bool, spans: int) -> list[int]:
    """The configurations in which all sources of a span only compete (`unnamed`, (m,)), so that
    others take their place, which the batch does not find."""
    pairs = curations.pairs
    only = unnamed[pairs.source]
    if not only.any():
        return []
    has = np.zeros((2, spans, len(curations.kept)), np.bool_)
    for which, of in enumerate((only, ~only)):
        np.logical_or.at(has[which], pairs.cell[of] % spans, curations.kept[:, of].T)
    lost: list[int] = np.flatnonzero((has[0] & ~has[1]).any(axis=0)).tolist()
    return lost
