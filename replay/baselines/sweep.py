"""The threshold of a baseline, chosen on one half of the samples and reported on the other.

Knows similarities and golds; not how either was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor

import numpy as np

from omnitrace.errors import CommandError
from replay.baselines.similarity import Similarity, Thresholds, same_threshold
from replay.evaluation.gold import Gold
from replay.evaluation.scores import Scores, judgement, score
from replay.evaluation.space import MODALITIES
from replay.sweep.sweep import split

HOLDOUT = 0.5
MOST = 10_000
"""Thresholds of one sweep."""
_FUZZ = 1e-9


@dataclass(frozen=True)
class Sweep:
    """Scores by threshold in the half of the samples for choosing, and of what was chosen in the
    other, which is `held_out`.

    `chosen` has, by modality, the threshold with the best pooled (micro) F1, the lowest of equals.
    The modalities are chosen apart: one's sources do not touch another's score.
    """

    by_threshold: dict[float, Scores]
    chosen: Thresholds
    held_out: Scores


def sweep(
    similarities: Sequence[Similarity],
    golds: Mapping[str, Gold],
    thresholds: Sequence[float],
    draws: int = 0,
) -> Sweep:
    """Choose among `thresholds`; samples without a gold are passed over.

    Only the modalities that a baseline speaks of are scored; the samples are split as a sweep of
    configurations splits them. OmniTraceError if there are fewer than two.
    """
    known = {s.trace.id: s for s in similarities if s.trace.id in golds}
    choose, report = ([known[id] for id in ids] for ids in split(list(known), HOLDOUT))
    scores = {t: scores_at(choose, golds, same_threshold(t)) for t in sorted(thresholds)}
    best = {name: _best(scores, name) for name in MODALITIES}
    return Sweep(scores, best, scores_at(report, golds, best, draws))


def scores_at(
    similarities: Sequence[Similarity],
    golds: Mapping[str, Gold],
    thresholds: Thresholds,
    draws: int = 0,
) -> Scores:
    """The scores of what thresholds keep, in the modalities that the baseline speaks of."""
    judged = []
    for one in similarities:
        gold = golds[one.trace.id]
        spoken = replace(gold, scored=gold.scored & one.looked_at)
        judged.append(judgement(spoken, one.found(thresholds)))
    return score(judged, draws)


def _best(scores: Mapping[float, Scores], modality: str) -> float:
    return max(scores, key=lambda threshold: scores[threshold].micro[modality].f1)


def parse_thresholds(text: str) -> list[float]:
    """`FROM:TO:STEP`, both ends included, or numbers with commas; CommandError otherwise."""
    try:
        found = _range(text) if ":" in text else [float(number) for number in text.split(",")]
    except (ValueError, ZeroDivisionError, OverflowError):
        found = []
    if not 0 < len(found) <= MOST or not np.isfinite(found).all():
        raise CommandError(
            f"--thresholds {text}: write FROM:TO:STEP, such as 0:1:0.05, or numbers with commas; "
            f"at most {MOST} of them."
        )
    return found


def _range(text: str) -> list[float]:
    low, high, step = (float(number) for number in text.split(":"))
    count = min(floor((high - low) / step + _FUZZ) + 1, MOST + 1)
    return [round(low + index * step, 9) for index in range(count)]
