"""Recorded ablations seen through the source units of a replay: which masks answer what.

A replay unit is answerable if it is a union of base units; a set of units that is taken away has a
number if that very mask was recorded. Nothing is interpolated: what is not there is `missing`.
Knows traces and units; no attribution and no metric.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from omnitrace.ablations import LEAST_JUDGED, Ablations, Row
from omnitrace.arrays import Bool, Float64, Int64
from omnitrace.errors import SampleError
from omnitrace.trace import Trace
from omnitrace.units import Units

LEAST_FITTED = 4
"""Rows without which nothing is fitted."""


class Unanswerable(SampleError):
    """The recorded masks cannot answer a question."""


@dataclass(frozen=True)
class Recorded:
    """The rows of one sample: `first`, those of the name that was chosen, and `more`, exact rows
    that were recorded in the same way under other names.

    `basis` (m, U) bool: the base units of each of m source units; `tokens` (m,): how many prompt
    tokens each has. `missing` collects the masks that were not found, as base units.
    """

    first: Ablations
    more: tuple[Ablations, ...]
    basis: Bool
    tokens: Int64
    missing: set[tuple[int, ...]] = field(default_factory=set)

    @classmethod
    def of(cls, trace: Trace, units: Units, name: str = "mask") -> Recorded:
        """The ablations `name` of a trace, by its `units`.

        SampleError if there are none; Unanswerable where a unit is no union of base units.
        """
        first = trace.ablation(name)
        others = (other for other in trace.ablations.values() if other is not first)
        more = [
            other
            for other in others
            if other.mode == first.mode and np.array_equal(other.unit_of, first.unit_of)
        ]
        basis = _basis(trace, units, first)
        tokens = basis.astype(np.int64) @ first.tokens.astype(np.int64)
        return cls(first, tuple(more), basis, tokens)

    def __len__(self) -> int:
        return len(self.basis)

    @cached_property
    def _rows(self) -> dict[bytes, Float64]:
        """(T,) log-probabilities by mask; the first recorded counts."""
        rows: dict[bytes, Float64] = {}
        for each in (self.first, *self.more):
            for kept, logprob in zip(each.kept, each.logprob, strict=True):
                rows.setdefault(kept.tobytes(), logprob)
        return rows

    @cached_property
    def full(self) -> Float64:
        """(T,) log-probabilities with nothing taken away."""
        row: Float64 = self.without([np.zeros(len(self), bool)])[0]
        return row

    def without(self, removed: Iterable[Bool]) -> Float64:
        """(r, T) log-probabilities with each of the sets of units `removed`, (m,) bool, gone.

        Unanswerable if a mask was not recorded, which `missing` then holds.
        """
        masks = [~(gone @ self.basis) for gone in removed]
        unknown = [kept for kept in masks if kept.tobytes() not in self._rows]
        lost = {tuple(np.flatnonzero(~kept).tolist()) for kept in unknown}
        if lost:
            self.missing.update(lost)
            raise Unanswerable("masks that it takes were not recorded")
        return np.array([self._rows[kept.tobytes()] for kept in masks])

    def emptied(self) -> Float64:
        """(T,) log-probabilities with all taken away but the request."""
        rows = np.flatnonzero(self.first.why == Row.EMPTY)
        if not len(rows):
            raise Unanswerable("the row without any context was not recorded")
        row: Float64 = self.first.logprob[rows[0]]
        return row

    def held_out(self) -> tuple[Bool, Float64]:
        """Random rows for judging in which every unit is there or gone as a whole: (r, m) bool,
        (r, T).

        Rows drawn by whole parts only where those drawn by units are too few; Unanswerable if
        both are.
        """
        return self._rows_of(self.first.held_out, LEAST_JUDGED)

    def fitting(self) -> tuple[Bool, Float64]:
        """The same for fitting: none that is held out; where random rows are too few, also
        those that leave out one thing, or nothing, or all."""
        return self._rows_of(~self.first.held_out, LEAST_FITTED, structured=True)

    def _rows_of(self, wanted: Bool, least: int, structured: bool = False) -> tuple[Bool, Float64]:
        found, why = self.first, self.first.why
        some, every = found.kept @ self.basis.T, ~(~found.kept @ self.basis.T)
        usable = (some == every).all(axis=1) & wanted & found.kept[:, found.request].all(axis=1)
        sorts = [Row.DRAWN, Row.DRAWN_BASE]
        by_unit = np.isin(why, sorts)
        every_sort = np.isin(why, [*sorts, Row.DRAWN_PARTS]) | (structured & (why < Row.DRAWN))
        rows = np.flatnonzero(usable & by_unit)
        if len(rows) < LEAST_JUDGED:
            rows = np.flatnonzero(usable & every_sort)
        if len(rows) < least:
            raise Unanswerable(f"fewer than {least} random masks take its units away as wholes")
        return every[rows], found.logprob[rows]


def _basis(trace: Trace, units: Units, ablations: Ablations) -> Bool:
    """(m, U): which base units each unit is made of; Unanswerable where one is cut."""
    owner = units.owner_of_tokens(trace.n)
    own = ablations.unit_of >= 0
    both = np.zeros((len(units) + 1, len(ablations.request)), bool)
    both[owner[own], ablations.unit_of[own]] = True  # tokens in no unit: the last row
    basis, loose = both[:-1], owner[~own & (owner >= 0)]
    cut: Bool = np.asarray(basis[:, both.sum(axis=0) > 1].any(axis=1))
    cut[loose] = True
    if cut.any():
        unit = int(np.flatnonzero(cut)[0])
        raise Unanswerable(
            f"sample '{trace.id}': the unit {units.label[unit]} is finer than what was taken away, "
            f"or crosses it (ablations '{ablations.name}')"
        )
    return basis


def span_log_odds(logprob: Float64) -> Float64:
    """f = lp - log(1 - e^lp) of the summed log-probability of a span, lp = Σ_t log p_t.

    `logprob` (r, t) → (r,). The target of ContextCite and of AT2; large where the span is likely,
    and linear in what it needs as a probability is not.
    """
    lp = logprob.sum(axis=1)
    with np.errstate(divide="ignore"):
        rest = np.where(lp > -0.1, np.log(-np.expm1(lp)), np.log1p(-np.exp(lp)))
    odds: Float64 = lp - np.maximum(rest, -700.0)
    return odds
