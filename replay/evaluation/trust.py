"""Trust: how well a span's reliability tells whether its best source is right.

Knows attributions and golds; not how a probability is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnitrace.arrays import Float64
from replay.attribution import Attribution, Span
from replay.evaluation.gold import Gold, shared_steps
from replay.reliability import FEATURES, Calibration, calibration_error
from replay.stats import Estimate, pooled

COLUMNS = (*FEATURES, "probability")
"""What is known of a span; two more columns say whether its best source is right, and whether it
is not attributable."""
_RIGHT, _ABSTAINED = len(COLUMNS), len(COLUMNS) + 1
WIDTH = len(COLUMNS) + 2


@dataclass(frozen=True)
class Trust:
    """Spans whose best source is known to be right or wrong.

    `hit`: the part that is right, over samples; `auc`: by column of `COLUMNS`, the probability that
    a right one has a larger value than a wrong one (area under the ROC curve; 0.5 is chance), NaN
    without both; `ece`: the expected calibration error of `top` and of `probability`, NaN where
    there is none; `abstained`: spans that are not attributable, and `abstained_hit`: the part of
    these whose best source was right.
    """

    spans: int
    hit: Estimate
    auc: dict[str, float]
    ece: dict[str, float]
    abstained: int
    abstained_hit: float

    def rows(self) -> list[tuple[str, str]]:
        """Names and values for people."""
        known = [(f"AUC of {name}", value) for name, value in self.auc.items()]
        known += [(f"calibration error of {name}", value) for name, value in self.ece.items()]
        rows = [("best source right (hit@1)", str(self.hit))]
        rows += [(name, f"{value:.3f}") for name, value in known if np.isfinite(value)]
        if self.abstained:
            rows.append(("not attributable", f"{self.abstained} of {self.spans}"))
            rows.append(("of these the best was right", f"{self.abstained_hit:.3f}"))
        return rows

    def json(self) -> dict[str, Any]:
        """As JSON data; what is not known is absent."""
        hit = self.hit
        return {
            "spans": self.spans,
            "hit": hit.value if np.isfinite(hit.value) else None,
            "hit_ci": [hit.low, hit.high] if np.isfinite(hit.low) else None,
            "auc": {name: value for name, value in self.auc.items() if np.isfinite(value)},
            "ece": {name: value for name, value in self.ece.items() if np.isfinite(value)},
            "abstained": self.abstained,
        }


def trust_of(attribution: Attribution, gold: Gold) -> Float64:
    """(k, 6) float64: `COLUMNS`, whether the best source is right, whether the span is not
    attributable; a row a span.

    Of the spans with sources, or that lost them for their reliability, if every sentence that they
    share a step with was judged. A best source that claims no label of a scored modality is left
    out; unknown values are NaN.
    """
    steps = np.array([span.steps for span in attribution.spans], np.int32).reshape(-1, 2)
    shared = shared_steps(steps, gold.steps)
    known = shared.any(axis=1) & ~(shared & ~gold.judged).any(axis=1)
    claims = gold.space.claims(attribution.units) & gold.scored[gold.space.kind]
    rows = []
    for row in np.flatnonzero(known).tolist():
        span = attribution.spans[row]
        best = _best(span)
        if span.reliability is None or best < 0 or not claims[best].any():
            continue
        true = gold.true[shared[row]].any(axis=0)
        probability = span.reliability.probability
        rows.append(
            (
                *span.reliability.features,
                np.nan if probability is None else probability,
                float((claims[best] & true).any()),
                float(bool(span.unattributable)),
            )
        )
    return np.array(rows, np.float64).reshape(-1, WIDTH)


def _best(span: Span) -> int:
    """The unit of the largest share among the sources that the span has, or would have had."""
    lost = [d for d in span.dropped if d.rule == span.unattributable]
    candidates = [(s.mass, s.unit) for s in span.sources] or [(d.mass, d.unit) for d in lost]
    return max(candidates, key=lambda one: one[0], default=(0.0, -1))[1]


def trust(samples: Iterable[Float64]) -> Trust:
    """What the rows of samples, (k, 6) each as of `trust_of`, tell together."""
    parts = [part for part in samples if len(part)]
    every = np.concatenate([np.empty((0, WIDTH)), *parts])
    abstained, right = every[:, _ABSTAINED] > 0, every[:, _RIGHT]
    values = dict(zip(COLUMNS, every.T, strict=False))
    return Trust(
        spans=len(every),
        hit=pooled(
            np.array([part[:, _RIGHT].sum() for part in parts]),
            np.array([float(len(part)) for part in parts]),
        ),
        auc={name: ranked_right(value, right) for name, value in values.items()},
        ece={name: _error(values[name], right) for name in ("top", "probability")},
        abstained=int(abstained.sum()),
        abstained_hit=float(right[abstained].mean()) if abstained.any() else float("nan"),
    )


def _error(value: Float64, right: Float64) -> float:
    known = np.isfinite(value)
    return calibration_error(value[known], right[known])


def ranked_right(score: Float64, right: Float64) -> float:
    """P(score of a right one > score of a wrong one), ties half; NaN scores are left out."""
    known = np.isfinite(score)
    yes, no = score[known & (right > 0)], np.sort(score[known & (right == 0)])
    if not len(yes) or not len(no):
        return float("nan")
    below = np.searchsorted(no, yes, "left") + np.searchsorted(no, yes, "right")
    return float(below.mean() / (2 * len(no)))


def parts_of(samples: Iterable[Float64]) -> tuple[Float64, Float64]:
    """The features (k, 3) of all spans of the samples' rows, and which (k,) are right."""
    every = np.concatenate([np.empty((0, WIDTH)), *samples])
    return every[:, : len(FEATURES)], every[:, _RIGHT]


def with_calibration(rows: Float64, made: Calibration) -> Float64:
    """The rows (k, 6) of a sample with the probabilities that a calibration gives."""
    changed = rows.copy()
    for row in changed:
        probability = made.probability(row[: len(FEATURES)].tolist())
        row[COLUMNS.index("probability")] = np.nan if probability is None else probability
    return changed
