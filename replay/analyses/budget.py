"""Modality budget: what the signal's mass is spent on, and what the votes are cast for.

Every row a_t is divided completely among the kinds of tokens before it: the text, images,
audio and video of the prompt, what the chat template adds, and the answer's own earlier tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from omnitrace.arrays import Float32, Float64, Int64
from omnitrace.trace import Trace
from replay.analyses.figure import HUES, INK, QUIET
from replay.analyses.kinds import GENERATED, KINDS, SPECIAL, kinds_of_tokens, kinds_of_units
from replay.analyses.result import Result, Table, percent
from replay.attribution import Attribution
from replay.rows import rows_of
from replay.stats import Estimate, pooled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DECILES = 10
_COLOURS = {**HUES, "generated": "#5b6770"}


@dataclass(frozen=True)
class Budget(Result):
    """Mean shares over samples, a sample's being the mean over its steps.

    - `tokens`, `mass`, `votes`, `sources`: by kind, shares of the prompt's tokens; of the rows; of
      the votes of all steps, all units competing together; of the curated sources;
    - `first_token`: of the rows, on the prompt's first token, the usual attention sink;
      `on_units`: on any source unit, so that 1 - on_units is never seen by a replay;
    - `over_answer` (10, 6): the rows' shares by kind, in each tenth of the answer;
    - `samples`; `silent`: steps whose rows hold no mass, left out.
    """

    title: ClassVar[str] = "What the mass is spent on"

    kinds: tuple[str, ...]
    tokens: dict[str, Estimate]
    mass: dict[str, Estimate]
    votes: dict[str, Estimate]
    sources: dict[str, Estimate]
    first_token: Estimate
    on_units: Estimate
    over_answer: Float64
    samples: int
    silent: int

    @property
    def empty(self) -> bool:
        return not self.samples

    def table(self) -> Table:
        columns = (self.tokens, self.mass, self.votes, self.sources)
        rows = [
            (kind, *(percent(column[kind].value) if kind in column else "" for column in columns))
            for kind in self.kinds
        ]
        rows += [
            ("the first token", "", percent(self.first_token.value), "", ""),
            ("all source units", "", percent(self.on_units.value), "", ""),
        ]
        return Table(("share on", "tokens>", "mass>", "votes>", "sources>"), tuple(rows))

    def draw(self, figure: Figure) -> None:
        axes = figure.subplots(1, 1, subplot_kw={"title": self.title})
        at = (np.arange(DECILES) + 0.5) / DECILES
        shown = [k for k in range(len(KINDS)) if np.nansum(self.over_answer[:, k]) > 0]
        axes.stackplot(
            at,
            self.over_answer[:, shown].T,
            labels=[KINDS[k] for k in shown],
            colors=[_COLOURS[KINDS[k]] for k in shown],
            alpha=0.85,
            lw=0,
        )
        axes.set(xlim=(at[0], at[-1]), ylim=(0, 1), xlabel="through the answer", ylabel="of a row")
        axes.grid(visible=True, color=QUIET, alpha=0.3)
        figure.legend(loc="outside right center", reverse=True, labelcolor=INK)


@dataclass(frozen=True)
class _Shares:
    """Of one sample: shares by kind (6,), the first token's and the units', in tenths (10, 6)."""

    tokens: Float64
    mass: Float64
    votes: Float64
    sources: Float64
    first_token: float
    on_units: float
    tenths: Float64
    silent: int


def budget(attributed: Iterable[tuple[Trace, Attribution]]) -> Budget:
    """The budget of a run; samples whose rows hold nothing are left out."""
    found = [_shares(trace, attribution) for trace, attribution in attributed]
    known = [sample for sample in found if np.isfinite(sample.on_units)]
    return Budget(
        kinds=KINDS,
        tokens=_means([sample.tokens for sample in known], KINDS[:GENERATED]),
        mass=_means([sample.mass for sample in known], KINDS),
        votes=_means([sample.votes for sample in known], KINDS[:SPECIAL]),
        sources=_means([sample.sources for sample in known], KINDS[:SPECIAL]),
        first_token=_mean([sample.first_token for sample in known]),
        on_units=_mean([sample.on_units for sample in known]),
        over_answer=_mean_of_tenths([sample.tenths for sample in known]),
        samples=len(known),
        silent=sum(sample.silent for sample in found),
    )


def _shares(trace: Trace, attribution: Attribution) -> _Shares:
    config, units = attribution.config, attribution.units
    scores = rows_of(trace, config).dense().astype(np.float64)
    total = scores.sum(axis=1)
    rows = scores[total > 0] / total[total > 0, None]
    by_kind = rows @ np.eye(len(KINDS))[kinds_of_tokens(trace)]
    tenth = np.arange(trace.T)[total > 0] * DECILES // max(1, trace.T)
    held = np.pad(units.owner_of_tokens(trace.n) >= 0, (0, trace.T)).astype(np.float64)
    owner = kinds_of_units(trace, units)
    kept = [source.unit for span in attribution.spans for source in span.sources]
    traced = attribution.unit >= 0
    return _Shares(
        tokens=_share(kinds_of_tokens(trace)[: trace.n]),
        mass=_mean_rows(by_kind),
        votes=_share(owner[attribution.unit[traced]], attribution.vote[traced]),
        sources=_share(owner[kept]),
        first_token=_mean_rows(rows[:, :1]).item(),
        on_units=_mean_rows(rows @ held[:, None]).item(),
        tenths=np.stack([_mean_rows(by_kind[tenth == d]) for d in range(DECILES)]),
        silent=int((total <= 0).sum()),
    )


def _share(kinds: Int64, weights: Float32 | None = None) -> Float64:
    """(6,): the share of each kind; NaN if there are none."""
    count = np.bincount(kinds, weights, len(KINDS)).astype(np.float64)
    return count / count.sum() if count.sum() > 0 else np.full(len(KINDS), np.nan)


def _mean_rows(rows: Float64) -> Float64:
    mean: Float64 = rows.mean(axis=0) if len(rows) else np.full(rows.shape[1], np.nan)
    return mean


def _means(samples: list[Float64], kinds: tuple[str, ...]) -> dict[str, Estimate]:
    return {kind: _mean([sample[k] for sample in samples]) for k, kind in enumerate(kinds)}


def _mean(values: list[float]) -> Estimate:
    """The mean of what is known."""
    known = np.array([value for value in values if np.isfinite(value)])
    return pooled(known, np.ones(len(known)))


def _mean_of_tenths(samples: list[Float64]) -> Float64:
    """(10, 6): the mean over the samples that have steps there; NaN where none has."""
    tenths = np.array(samples).reshape(-1, DECILES, len(KINDS))
    known = np.isfinite(tenths)
    count = known.sum(axis=0)
    total = np.where(known, tenths, 0).sum(axis=0)
    mean: Float64 = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean
