"""Scores by group, and as JSON data, schema `omnitrace.evaluation/1`. Writes no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from replay.evaluation.scores import Judgement, Score, Scores, score

NO_TASK = "(no task)"


def grouped(
    judgements: Sequence[Judgement], by: str, draws: int = 0, seed: int = 0
) -> dict[str, Scores]:
    """Scores by `task`, by the modalities of the prompt (`modality`) or by `sample`.

    Groups are in the order of their first sample. One sample alone has no intervals.
    """
    groups: dict[str, list[Judgement]] = {}
    for one in judgements:
        groups.setdefault(_group(one, by), []).append(one)
    return {
        name: score(members, draws if len(members) > 1 else 0, seed)
        for name, members in groups.items()
    }


def _group(one: Judgement, by: str) -> str:
    return {"task": one.task or NO_TASK, "modality": one.modalities, "sample": one.id}[by]


def scores_json(scores: Scores) -> dict[str, Any]:
    """One set of scores as JSON data; modalities that no sample has are absent."""
    return {
        "samples": scores.samples,
        "judged": scores.judged,
        "wrong": scores.wrong,
        "micro": modalities_json(scores.micro),
        "macro": modalities_json(scores.macro),
    }


def modalities_json(scores: Mapping[str, Score]) -> dict[str, Any]:
    """Scores by modality as JSON data; modalities that no sample has are absent."""
    return {name: score_json(one) for name, one in scores.items() if one.spans}


def score_json(one: Score) -> dict[str, Any]:
    """One score as JSON data, with its intervals where it has them."""
    data: dict[str, Any] = {
        "precision": one.precision,
        "recall": one.recall,
        "f1": one.f1,
        "spans": one.spans,
        "samples": one.samples,
    }
    if one.low is not None and one.high is not None:
        bounds = zip(one.low, one.high, strict=True)
        data["ci"] = dict(zip(("precision", "recall", "f1"), map(list, bounds), strict=True))
    return data
