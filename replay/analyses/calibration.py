"""Cross-modal calibration: are images given the share that is theirs (paper §5.1, Fig. 3b)?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from omnitrace.arrays import Float64
from omnitrace.timeline import Modality
from replay.analyses.figure import ACCENT, HUES, INK, QUIET, new_axes, share_axes
from replay.analyses.judged import Judged, shared_with_gold
from replay.analyses.kinds import kinds_of_units
from replay.analyses.result import Result, Table, rows_of_bins
from replay.attribution import Attribution
from replay.stats import BINS, Estimate, bins_of, divided, pooled, sums_of_bins

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Calibration(Result):
    """Sentences of prompts with text and images, by the share that the sources give to images.

    - `edges` (11,); by bin (10,): `sentences`, mean `predicted` and `true` shares, and the 95 %
      interval `low`, `high` of the true one; NaN for an empty bin;
    - `predicted_mean`, `true_mean`: over all of them; `bias` = predicted - true, and `error`, the
      mean of |predicted - true|;
    - `silent`: sentences left out, for no text or image is a source, or none is true.
    """

    title: ClassVar[str] = "Do images get the share that is theirs?"

    edges: Float64
    sentences: Float64
    predicted: Float64
    true: Float64
    low: Float64
    high: Float64
    predicted_mean: Estimate
    true_mean: Estimate
    bias: Estimate
    error: Estimate
    silent: int

    @property
    def empty(self) -> bool:
        return not self.sentences.sum()

    def table(self) -> Table:
        rows = rows_of_bins(
            self.edges, self.sentences, self.predicted, self.true, self.low, self.high
        )
        total = (f"{self.sentences.sum():.0f}", str(self.predicted_mean), str(self.true_mean))
        rows += [("all", *total), ("predicted - true", "", str(self.bias), "")]
        return Table(("image share", "sentences>", "predicted>", "true (95 %)>"), tuple(rows))

    def draw(self, figure: Figure) -> None:
        axes = new_axes(figure, self.title)
        share_axes(axes, "image share of the sources' votes", "image share of the truth")
        axes.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls=":", label="calibrated")
        full = self.sentences > 0
        x, y = self.predicted[full], self.true[full]
        around = np.maximum([y - self.low[full], self.high[full] - y], 0)
        axes.errorbar(x, y, yerr=around, fmt="-", lw=1.2, color=ACCENT)
        size = 24 + 160 * self.sentences[full] / max(1.0, self.sentences.max())
        axes.scatter(x, y, size, color=HUES["image"], zorder=3, label="sentences")
        axes.margins(0.04)
        axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
        axes.legend(loc="upper left", labelcolor=INK)


def calibration(judged: Iterable[Judged]) -> Calibration:
    """Predicted against true image shares of the judged sentences.

    Predicted: of the votes that the curated text and image sources hold of the spans which share
    a step with the sentence; true: of the sentence's true text and image labels, an image being
    one label. A prompt needs both, and a gold that covers both.
    """
    pairs = [_pairs(one) for one in judged]
    known = [pair[np.isfinite(pair).all(axis=1)] for pair in pairs]
    sums = np.array([sums_of_bins(*pair.T) for pair in known]).reshape(-1, 3, BINS)
    count = sums[:, 0].sum(axis=1)
    return Calibration(
        *bins_of(sums),
        predicted_mean=pooled(sums[:, 1].sum(axis=1), count),
        true_mean=pooled(sums[:, 2].sum(axis=1), count),
        bias=pooled((sums[:, 1] - sums[:, 2]).sum(axis=1), count),
        error=pooled(np.array([np.abs(p[:, 0] - p[:, 1]).sum() for p in known]), count),
        silent=sum(len(pair) for pair in pairs) - int(count.sum()),
    )


def _pairs(one: Judged) -> Float64:
    """(k, 2): predicted and true image share of each judged sentence; NaN where there is none."""
    trace, attribution, gold = one
    both = [Modality.TEXT, Modality.IMAGE]
    if not gold.scored[both].all():
        return np.empty((0, 2))
    kinds = kinds_of_units(trace, attribution.units)
    text, image = (_votes(attribution, kinds == kind) for kind in both)
    shared = shared_with_gold(attribution, gold)
    predicted = divided(image @ shared, (text + image) @ shared)
    labels = [(gold.true & (gold.space.kind == kind)).sum(axis=1).astype(float) for kind in both]
    true = divided(labels[1], labels[0] + labels[1])
    return np.stack([predicted, true], axis=1)[gold.judged]


def _votes(attribution: Attribution, wanted: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Float64:
    """(S,): what the wanted units hold of each span's votes."""
    return np.array(
        [sum(s.mass for s in span.sources if wanted[s.unit]) for span in attribution.spans], float
    )
