"""Verdicts: was a source really needed? From single units that were removed from the prompt.

Reads any recorded ablations in which one source unit alone was removed, whatever they are called:
`omnitrace confirm` removes the best of each span, `ablate-inputs` as many as its masks allow. Knows
units, sources and recorded rows; not how sources were ranked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from omnitrace.ablations import Ablations, Row
from omnitrace.arrays import Bool, Float64
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.config import CauseStage
from replay.curate import Dropped, Source
from replay.faithfulness.recorded import span_log_odds

MODES = ("mask", "mean-embedding")
"""Modes whose rows give verdicts, in this order: no token can see what is removed."""
CAUSED, NOT_NEEDED, UNTESTED = "caused", "not needed", "untested"


@dataclass(frozen=True)
class Verdict:
    """`cause`: `caused`, `not needed` or `untested`; `effect`: by how many nats the log-odds of
    the span fall without the unit, None where that was not tested."""

    cause: str = UNTESTED
    effect: float | None = None


@dataclass(frozen=True)
class Removals:
    """What became of a response of T steps without each of m units alone.

    `tested` (m,) bool; `full`, `without` (m, T): log-probabilities with the whole prompt, recorded
    together with that unit's removal, and without the unit; NaN where that was not tested. Steps
    that write nothing visible are 0 in both.
    """

    tested: Bool
    full: Float64
    without: Float64

    def effects(self, steps: tuple[int, int]) -> Float64:
        """(m,) how much the log-odds (`span_log_odds`) of the half-open range `steps` fall without
        each unit, in nats; NaN where that was not tested."""
        part = slice(*steps)
        found: Float64 = np.full(len(self.tested), np.nan)
        if not self.tested.any():
            return found
        full, without = self.full[self.tested, part], self.without[self.tested, part]
        found[self.tested] = span_log_odds(full) - span_log_odds(without)
        return found


def removals(trace: Trace, units: Units, visible: Bool) -> Removals:
    """The removals of single units that are recorded for `trace`, the first of each unit.

    `visible` (T,) bool: the steps that count.
    """
    shape = len(units), trace.T
    tested, full, without = (
        np.zeros(len(units), bool),
        np.full(shape, np.nan),
        np.full(shape, np.nan),
    )
    kinds = [a for mode in MODES for a in trace.ablations.values() if a.mode == mode]
    for ablations in kinds:
        whole = np.flatnonzero(ablations.why == Row.FULL)
        if not len(whole):
            continue  # no unmasked row to compare with
        logprob = np.where(visible, ablations.logprob, 0.0)
        for unit, row in _alone(ablations, units.owner_of_tokens(trace.n), len(units)):
            if not tested[unit]:
                tested[unit] = True
                full[unit], without[unit] = logprob[whole[0]], logprob[row]
    return Removals(tested, full, without)


def _alone(ablations: Ablations, owner: np.ndarray, count: int) -> Iterator[tuple[int, int]]:
    """Each of `count` units that a row removes, no token more and none less, with that row."""
    base = ablations.unit_of
    inside = np.zeros((count + 1, len(ablations.request) + 1), np.int64)
    np.add.at(inside, (owner, base), 1)  # -1, in no unit or never removed, is the last
    tokens, loose, size = inside[:-1, :-1], inside[:-1, -1], inside[:, :-1].sum(axis=0)
    exact = ((tokens == 0) | (tokens == size)).all(axis=1) & (loose == 0) & tokens.any(axis=1)
    rows: dict[bytes, int] = {}
    for number, kept in enumerate(ablations.kept):
        rows.setdefault(kept.tobytes(), number)
    for unit in np.flatnonzero(exact).tolist():
        row = rows.get((tokens[unit] == 0).tobytes())
        if row is not None:
            yield unit, row


@dataclass(frozen=True)
class Judged:
    """Sources of a span, best first, those dropped, and each tested unit with its verdict."""

    sources: tuple[Source, ...]
    dropped: tuple[Dropped, ...]
    verdicts: tuple[tuple[int, Verdict], ...]


def judge(
    sources: Sequence[Source], dropped: Sequence[Dropped], effects: Float64, stage: CauseStage
) -> Judged:
    """The sources of a span, chosen and ordered as `stage.confirmed` says, and the verdicts.

    `effects` (m,): as of `Removals.effects`, NaN too for units that may not be named.
    """
    kept = _chosen(sources, {d.unit: d.mass for d in dropped}, effects, stage)
    chosen = {s.unit for s in kept}
    lost = [
        Dropped(s.unit, s.mass, _rule(verdict_of(effects[s.unit], stage)))
        for s in sources
        if s.unit not in chosen
    ]
    return Judged(
        tuple(kept),
        (*lost, *(d for d in dropped if d.unit not in chosen)),
        tuple(
            (u, verdict_of(effects[u], stage)) for u in np.flatnonzero(~np.isnan(effects)).tolist()
        ),
    )


def _chosen(
    sources: Sequence[Source], shares: Mapping[int, float], effects: Float64, stage: CauseStage
) -> list[Source]:
    """The sources that are kept; `shares`: those of dropped units."""
    order = np.argsort(-effects, kind="stable").tolist()
    least = max(stage.cause_nats, stage.cause_share * np.nanmax(effects, initial=0.0))
    caused = [unit for unit in order if effects[unit] >= least]
    untested = [source for source in sources if np.isnan(effects[source.unit])]
    rerank = stage.confirmed == "rerank"
    if stage.confirmed == "off" or np.isnan(effects).all() or (rerank and not caused):
        return list(sources)
    known = {source.unit: source for source in sources}
    found = [known.get(u) or Source(u, shares.get(u, 0.0), 0.0, 0.0) for u in caused]
    return found + untested if rerank else found


def _rule(verdict: Verdict) -> str:
    """What drops a source with that verdict; `cause_share`: it caused the span, but others more."""
    return "cause_share" if verdict.cause == CAUSED else verdict.cause


def verdict_of(effect: float, stage: CauseStage) -> Verdict:
    """The verdict of an effect in nats, NaN for none."""
    if np.isnan(effect):
        return Verdict()
    return Verdict(CAUSED if effect >= stage.cause_nats else NOT_NEEDED, float(effect))


def verdict_words(verdict: Verdict) -> str:
    """A verdict for people, `caused (−3.2 nats)`: how the log-odds of the span change without the
    source; empty where it was not tested."""
    if verdict.effect is None:
        return ""
    sign = "−" if verdict.effect >= 0 else "+"
    return f"{verdict.cause} ({sign}{abs(verdict.effect):.1f} nats)"
