"""Curation: the few sources that explain a span, from the votes of its steps (Appendix A.1).

Plain Python floats, added in the order of the paper's listing, so that sources which lie exactly
on a threshold are kept or dropped as the listing does. Knows no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from replay.config import CurationConfig, ThresholdStage, VoteStage


@dataclass(frozen=True)
class Source:
    """A curated source of a span: its share of the votes, that of its longest run, its score."""

    unit: int
    mass: float
    run: float
    score: float


@dataclass(frozen=True)
class Dropped:
    """A source that lost, and the rule: `p_min` (too small, no strong run), `coverage` (already
    reached), `request` (a unit that competes but is never named), or, where `confirmed` drops it,
    its verdict: `not needed` or `untested`, or `cause_share` (others caused the span more)."""

    unit: int
    mass: float
    rule: str


@dataclass(frozen=True)
class Curation:
    """The sources kept, best first, and those dropped; both empty if no vote was cast."""

    sources: tuple[Source, ...] = ()
    dropped: tuple[Dropped, ...] = ()


def curate_sources(
    source_ids: Sequence[int],
    pos: Sequence[str],
    confidence: Sequence[float],
    config: CurationConfig,
) -> list[int]:
    """The paper's `curate_sources_with_conf` (Appendix A.1), exactly, order and ties included.

    One entry a step: its source, POS tag and confidence. ValueError if the lengths differ.
    """
    if not len(source_ids) == len(pos) == len(confidence):
        raise ValueError("source_ids, pos and confidence must have the same length.")
    return [s.unit for s in curate(source_ids, votes(pos, confidence, config), config).sources]


def pos_weights(pos: Sequence[str], config: VoteStage) -> list[float]:
    """The weight of each step's part of speech."""
    return [config.pos_weights.get(tag, config.pos_other) for tag in pos]


def votes(pos: Sequence[str], confidence: Sequence[float], config: VoteStage) -> list[float]:
    """w_t = POS weight · max(c_t, 0)^γ, one a step."""
    weights, other, gamma = config.pos_weights, config.pos_other, config.gamma
    return [
        weights.get(tag, other) * max(c, 0.0) ** gamma
        for tag, c in zip(pos, confidence, strict=True)
    ]


def curate(source_ids: Sequence[int], vote: Sequence[float], config: ThresholdStage) -> Curation:
    """Which of the steps' sources are kept, given the steps' votes; ties by first appearance."""
    total = float(sum(vote))
    if total <= 0:
        return Curation()
    ranked = sorted(_sources(source_ids, vote, total, config), key=itemgetter(3), reverse=True)
    kept: list[Source] = []
    dropped: list[Dropped] = []
    covered = 0.0
    for unit, mass, run, score in ranked:
        if kept and covered >= config.coverage:
            dropped.append(Dropped(unit, mass, "coverage"))
        elif mass < config.p_min and not run >= config.run_min:
            dropped.append(Dropped(unit, mass, "p_min"))
        else:
            kept.append(Source(unit, mass, run, score))
            covered += mass
    return Curation(tuple(kept), tuple(dropped))


def _sources(
    source_ids: Sequence[int], vote: Sequence[float], total: float, config: ThresholdStage
) -> list[tuple[int, float, float, float]]:
    """Every source with its share, run and score, in order of first appearance."""
    mass: dict[int, float] = {}
    run: dict[int, float] = {}
    current, length = None, 0.0
    for source, w in zip(source_ids, vote, strict=True):
        mass[source] = mass.get(source, 0.0) + w
        length = length + w if source == current else w
        current = source
        run[source] = max(run.get(source, 0.0), length)
    alpha, rest = config.alpha, 1.0 - config.alpha
    shares = ((unit, mass[unit] / total, run[unit] / total) for unit in mass)
    return [
        (unit, share, longest, alpha * share + rest * longest) for unit, share, longest in shares
    ]
