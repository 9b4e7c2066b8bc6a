"""Scores as cells of a table and as JSON, the same in every verb that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replay.evaluation import Score
from replay.evaluation.report import score_json

RATES = ("precision", "recall", "f1")


def percent(share: float) -> str:
    """In per cent, as in the paper."""
    return f"{100 * share:.1f}"


def cells(score: Score) -> list[str]:
    """Precision, recall, F1 and the interval of F1."""
    rates = (score.precision, score.recall, score.f1)
    return [*map(percent, rates), interval(score, "f1")]


def interval(score: Score, rate: str) -> str:
    """The bounds of one of `RATES`; empty where there are none."""
    if score.low is None or score.high is None:
        return ""
    at = RATES.index(rate)
    return f"{percent(score.low[at])}–{percent(score.high[at])}"


def scores_json(scores: Mapping[str, Score]) -> dict[str, Any]:
    """Scores by modality as JSON data; modalities that no sample has are absent."""
    return {name: score_json(score) for name, score in scores.items() if score.spans}
