"""Confidence calibration: is a source with a larger share of the votes more often right?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from omnitrace.arrays import Float64
from replay.analyses.figure import ACCENT, INK, QUIET, new_axes, share_axes
from replay.analyses.judged import Judged, truth_of_spans
from replay.analyses.result import Result, Table, number, rows_of_bins
from replay.evaluation.trust import Trust, ranked_right, trust, trust_of
from replay.stats import BINS, Estimate, bins_of, divided, of_sums, pooled, sums_of_bins

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHARE, _CONFIDENCE, _KEPT, _RIGHT = range(4)


@dataclass(frozen=True)
class Confidence(Result):
    """All candidate sources of judged spans, kept or dropped, by their share of the votes.

    - `edges` (11,); by bin (10,): `candidates`, mean `share`, the part that is `right`, and its
      95 % interval `low`, `high`; NaN for an empty bin;
    - `error`: the expected calibration error Σ_b n_b/N · |share_b - right_b|;
    - `share_rank`, `confidence_rank`: the probability that a right candidate has a larger share,
      or a larger confidence c_t (mean over the steps that were traced to it), than a wrong one of
      the run (area under the ROC curve; 0.5 is chance);
    - `kept_right`, `dropped_right`: the part of the kept and of the dropped that is right;
    - `spans`: of the spans' best sources, how many are right, and how well reliability tells that.
    """

    title: ClassVar[str] = "Are larger shares more often right?"

    edges: Float64
    candidates: Float64
    share: Float64
    right: Float64
    low: Float64
    high: Float64
    error: Estimate
    share_rank: float
    confidence_rank: float
    kept_right: Estimate
    dropped_right: Estimate
    spans: Trust

    @property
    def empty(self) -> bool:
        return not self.candidates.sum()

    def table(self) -> Table:
        rows = rows_of_bins(
            self.edges, self.candidates, self.share, self.right, self.low, self.high
        )
        rows += [
            ("expected calibration error", "", "", str(self.error)),
            ("kept", "", "", str(self.kept_right)),
            ("dropped", "", "", str(self.dropped_right)),
            ("ranked right by share (AUC)", "", "", number(self.share_rank)),
            ("ranked right by confidence (AUC)", "", "", number(self.confidence_rank)),
        ]
        rows += [(f"spans: {name}", "", "", value) for name, value in self.spans.rows()]
        return Table(("share of the votes", "candidates>", "mean>", "right (95 %)>"), tuple(rows))

    def draw(self, figure: Figure) -> None:
        axes = new_axes(figure, self.title)
        share_axes(axes, "share of the span's votes", "right")
        axes.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls=":", label="calibrated")
        full = self.candidates > 0
        x, y = self.share[full], self.right[full]
        around = np.maximum([y - self.low[full], self.high[full] - y], 0)
        axes.errorbar(x, y, yerr=around, fmt="o-", ms=5, color=ACCENT, label="candidates")
        axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
        axes.legend(loc="lower right", labelcolor=INK)


def confidence(judged: Iterable[Judged]) -> Confidence:
    """Reliability of the candidates' shares; a candidate is right if it holds any true label."""
    samples: list[Float64] = []
    spans: list[Float64] = []
    for one in judged:
        samples.append(np.array(list(_candidates(one)), float).reshape(-1, 4))
        spans.append(trust_of(*one[1:]))
    sums = np.array([sums_of_bins(s[:, _SHARE], s[:, _RIGHT]) for s in samples])
    sums = sums.reshape(-1, 3, BINS)
    every = np.concatenate([np.empty((0, 4)), *samples])
    return Confidence(
        *bins_of(sums),
        error=of_sums(sums.reshape(-1, 3 * BINS), _calibration_error),
        share_rank=ranked_right(every[:, _SHARE], every[:, _RIGHT]),
        confidence_rank=ranked_right(every[:, _CONFIDENCE], every[:, _RIGHT]),
        kept_right=_right_among(samples, 1),
        dropped_right=_right_among(samples, 0),
        spans=trust(spans),
    )


def _candidates(one: Judged) -> Iterator[tuple[float, float, bool, bool]]:
    """Share, confidence, kept, right of each candidate of the spans that are judged completely."""
    _, attribution, gold = one
    claims = gold.space.claims(attribution.units)
    looked_at = gold.scored[gold.space.kind]
    true, known = truth_of_spans(attribution, gold)
    for row in np.flatnonzero(known).tolist():
        span = attribution.spans[row]
        for kept, sources in ((True, span.sources), (False, span.dropped)):
            for source in sources:
                claimed = claims[source.unit] & looked_at
                if claimed.any():
                    steps = attribution.confidence[slice(*span.steps)]
                    own = attribution.unit[slice(*span.steps)] == source.unit
                    sure = float(steps[own].mean()) if own.any() else float("nan")
                    yield source.mass, sure, kept, bool((claimed & true[row]).any())


def _calibration_error(total: Float64) -> Float64:
    count, share, right = np.moveaxis(total.reshape(*total.shape[:-1], 3, BINS), -2, 0)
    return divided(np.abs(share - right).sum(axis=-1), count.sum(axis=-1))


def _right_among(samples: list[Float64], kept: int) -> Estimate:
    chosen = [sample[sample[:, _KEPT] == kept, _RIGHT] for sample in samples]
    return pooled(np.array([c.sum() for c in chosen]), np.array([float(len(c)) for c in chosen]))
