"""Analyses: one file per question about how a run's answers were attributed, one registry.

Each is a pure function to a frozen `Result` of arrays, with a table, a figure and JSON data
(docs/analyses.md). Knows no terminal; matplotlib is loaded only to draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omnitrace.errors import CommandError, nearest
from replay.analyses.budget import budget
from replay.analyses.calibration import calibration
from replay.analyses.confidence import confidence
from replay.analyses.material import Material, material_of
from replay.analyses.position import position
from replay.analyses.quality import Quality, all_sentences_right, quality, rouge_l
from replay.analyses.result import Result, Table
from replay.analyses.segmentation import segmentation
from replay.analyses.stability import stability
from replay.analyses.streams import streams
from replay.evaluation import judge

__all__ = ["ANALYSES", "Analysis", "Material", "Result", "Table", "analysis", "material_of"]


@dataclass(frozen=True)
class Analysis:
    """An entry of the registry: `run` answers the question in `help`.

    `needs_gold`: from golds; `expensive`: it replays every sample many times.
    """

    help: str
    run: Callable[[Material], Result]
    needs_gold: bool = False
    expensive: bool = False


def _quality(material: Material) -> Quality:
    known = list(material.judged())
    judgements = [judge(attribution, gold) for _, attribution, gold in known]
    responses = {trace.id: trace.response for trace, _, _ in known}
    right = {**all_sentences_right(material.golds.values()), **material.correct}
    return quality(judgements, right, rouge_l(responses, material.answers))


ANALYSES: dict[str, Analysis] = {
    "position": Analysis(
        "where in the prompt the sources lie, against units at random (Fig. 3a)",
        lambda material: position(material.attributed()),
    ),
    "budget": Analysis(
        "the shares of mass and votes that go to each modality, the answer and the first token",
        lambda material: budget(material.attributed()),
    ),
    "calibration": Analysis(
        "whether images get the share of the votes that is theirs (Fig. 3b)",
        lambda material: calibration(material.judged()),
        needs_gold=True,
    ),
    "confidence": Analysis(
        "whether sources with larger shares of the votes are more often right",
        lambda material: confidence(material.judged()),
        needs_gold=True,
    ),
    "segmentation": Analysis(
        "Time-F1 of audio cut into tokens, bins, and the segmentations added (Fig. 2a)",
        lambda material: segmentation(
            material.readable(), material.config, material.golds, material.segmentations
        ),
        needs_gold=True,
    ),
    "streams": Analysis(
        "Time-F1 of videos by vision and audio, or by either alone (Fig. 2b)",
        lambda material: streams(material.readable(), material.config, material.golds),
        needs_gold=True,
    ),
    "quality": Analysis(
        "F1 of right and wrong answers, and F1 against ROUGE-L of the answer (Fig. 4)",
        _quality,
        needs_gold=True,
    ),
    "stability": Analysis(
        "how far the sources stay the same when one option of the configuration changes",
        lambda material: stability(material.readable(), material.config),
        expensive=True,
    ),
}


def analysis(name: str) -> Analysis:
    """The analysis of that name; CommandError naming the legal ones otherwise."""
    if name not in ANALYSES:
        raise CommandError(f"no analysis '{name}': {nearest(name, list(ANALYSES))}.")
    return ANALYSES[name]
