"""The thresholds of a baseline: usual, or chosen on half of the samples, reported on the others.

Knows similarities and golds; not how either was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor
from pathlib import Path
from typing import Any

import numpy as np

from omnitrace.errors import CommandError
from replay.baselines.similarity import Similarity, Thresholds, same_threshold
from replay.evaluation.gold import Gold
from replay.evaluation.report import scores_json
from replay.evaluation.scores import Scores, judgement, score
from replay.evaluation.sources import read_golds
from replay.evaluation.space import MODALITIES
from replay.sweep.sweep import split

SCHEMA = "omnitrace.thresholds/1"
DRAWS = 1000
HOLDOUT = 0.5
MOST = 10_000
"""Thresholds of one sweep."""
_FUZZ = 1e-9


@dataclass(frozen=True)
class ThresholdOptions:
    """Which pairs are kept.

    Parameters
    ----------
    threshold
        keep what is similar by at least this; by default 0.25, of random draws 0.5
    labels
        choose a threshold for each modality instead, by the F1 of half of the samples against this
        labels or truth file, and say what they reach on the other half
    thresholds
        the thresholds to choose among: FROM:TO:STEP, or numbers with commas
    json
        print what was chosen as JSON (schema omnitrace.thresholds/1) instead of a table
    """

    threshold: float | None = None
    labels: Path | None = None
    thresholds: str = "0:1:0.05"
    json: bool = False

    def check(self, usual: float | None) -> None:
        """CommandError for options that contradict each other, or the method.

        `usual`: its usual threshold, None for a method without similarities. Reads the
        files, so that what is wrong with them is known before anything is computed.
        """
        if self.threshold is not None and self.labels is not None:
            raise CommandError("--threshold is given, so that --labels has nothing to choose.")
        if self.labels is not None:
            parse_thresholds(self.thresholds)
            read_golds(self.labels)
        if usual is None and (self.threshold is not None or self.labels is not None):
            raise CommandError(
                "this method gives labels outright: there is no threshold to choose."
            )


USUAL = ThresholdOptions()
"""The usual threshold of the method."""


@dataclass(frozen=True)
class Sweep:
    """Scores by threshold in the half of the samples for choosing, and of the chosen thresholds in
    the other, which is `held_out`.

    `chosen` has, by modality, the threshold with the best pooled (micro) F1, the lowest of equals.
    The modalities are chosen apart: one's sources do not touch another's score.
    """

    by_threshold: dict[float, Scores]
    chosen: Thresholds
    held_out: Scores

    @property
    def modalities(self) -> list[str]:
        """Those that were scored."""
        return [name for name in MODALITIES if self.held_out.micro[name].spans]


def choose(
    similarities: Sequence[Similarity], options: ThresholdOptions, usual: float
) -> tuple[Thresholds, Sweep | None]:
    """The named, usual or best thresholds, and how the best were chosen."""
    if options.labels is None:
        least = usual if options.threshold is None else options.threshold
        return same_threshold(least), None
    file = read_golds(options.labels)
    golds = {one.trace.id: file.gold(one.trace) for one in similarities if one.trace.id in file}
    made = sweep(similarities, golds, parse_thresholds(options.thresholds), DRAWS)
    return made.chosen, made


def sweep(
    similarities: Sequence[Similarity],
    golds: Mapping[str, Gold],
    thresholds: Sequence[float],
    draws: int = 0,
) -> Sweep:
    """Choose among `thresholds`; samples without a gold are passed over.

    Only the modalities that a baseline compares are scored; the samples are split as a sweep of
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
    """The scores of what thresholds keep, in the modalities that the baseline compares."""
    judged = []
    for one in similarities:
        gold = golds[one.trace.id]
        shared = replace(gold, scored=gold.scored & one.compared)
        judged.append(judgement(shared, one.pairs(thresholds)))
    return score(judged, draws)


def to_json(made: Sweep, method: str) -> dict[str, Any]:
    """A sweep as JSON data, schema `omnitrace.thresholds/1`."""
    return {
        "schema": SCHEMA,
        "method": method,
        "thresholds": [{"threshold": t, **scores_json(s)} for t, s in made.by_threshold.items()],
        "chosen": {name: made.chosen[name] for name in made.modalities},
        "held_out": scores_json(made.held_out),
    }


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
