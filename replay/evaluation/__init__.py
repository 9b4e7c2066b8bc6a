"""Evaluation: attributions against what is known to be true, as the paper measures them (§4.1).

Span P, R and F1 for text and images, the same over time bins for audio and video. Knows traces,
source units and attributions; not how an attribution was made, and no model.
"""

from __future__ import annotations

from replay.evaluation.gold import Gold, gold_of_truth, golds_of_truths
from replay.evaluation.scores import (
    Judgement,
    Score,
    Scores,
    evaluate,
    judge,
    score,
    scores_of,
    tally,
)
from replay.evaluation.space import COLUMNS, MODALITIES, Space, judging_space
from replay.evaluation.truth import Truth, read_truths

__all__ = [
    "COLUMNS",
    "MODALITIES",
    "Gold",
    "Judgement",
    "Score",
    "Scores",
    "Space",
    "Truth",
    "evaluate",
    "gold_of_truth",
    "golds_of_truths",
    "judge",
    "judging_space",
    "read_truths",
    "score",
    "scores_of",
    "tally",
]
