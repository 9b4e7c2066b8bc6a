"""Analyses: one file a question about how a run's answers were attributed, one registry.

Each is a pure function to a frozen `Result` of arrays, with a table, a figure and JSON data
(docs/analyses.md). Knows no terminal; matplotlib is loaded only to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from omnitrace.errors import CommandError, OmniTraceError, nearest
from omnitrace.trace import NotAdded, Trace
from replay.analyses.budget import budget
from replay.analyses.calibration import calibration
from replay.analyses.confidence import confidence
from replay.analyses.judged import with_gold
from replay.analyses.position import position
from replay.analyses.quality import Quality, all_said_right, quality, rouge_l
from replay.analyses.result import Result, Table
from replay.analyses.segmentation import segmentation
from replay.analyses.stability import stability
from replay.attribution import Attribution, attribute
from replay.config import ReplayConfig
from replay.evaluation import Gold, judge

__all__ = ["ANALYSES", "Analysis", "Material", "Result", "Table", "analysis"]


@dataclass(frozen=True)
class Material:
    """What analyses read: `traces` by id under `config`, and what is known of them.

    `golds`; `answers`: reference answers; `correct`: is the response right; all by id. For those
    that `correct` lacks, a response is right if all its sentences are judged (a planted truth
    judges what is true only). `segmentations`: the names of those added to the run. What cannot
    be read is left out, with a sentence in `damaged`.
    """

    traces: Mapping[str, Trace]
    config: ReplayConfig
    golds: Mapping[str, Gold] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    correct: Mapping[str, bool] = field(default_factory=dict)
    segmentations: tuple[str, ...] = ()
    damaged: dict[str, str] = field(default_factory=dict)

    def readable(self) -> Iterator[Trace]:
        """The traces in order."""
        for id in self.traces:
            if id in self.damaged:
                continue
            try:
                yield self.traces[id]
            except OmniTraceError as error:
                self.damaged[id] = str(error)

    def attributed(self) -> Iterator[tuple[Trace, Attribution]]:
        """The traces in order with their attributions; CommandError if `config` fits none."""
        for trace in self.readable():
            try:
                attribution = attribute(trace, self.config)
            except OmniTraceError as error:
                if isinstance(error, CommandError) and not isinstance(error, NotAdded):
                    raise
                self.damaged[trace.id] = str(error)
            else:
                yield trace, attribution


@dataclass(frozen=True)
class Analysis:
    """An entry of the registry: `run` answers the question that `help` asks, some from golds."""

    help: str
    run: Callable[[Material], Result]
    needs_gold: bool = False


def _quality(material: Material) -> Quality:
    known = [
        (trace, attribution)
        for trace, attribution in material.attributed()
        if trace.id in material.golds
    ]
    judgements = [judge(attribution, material.golds[trace.id]) for trace, attribution in known]
    responses = {trace.id: trace.response for trace, _ in known}
    right = {**all_said_right(material.golds.values()), **material.correct}
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
    "stability": Analysis(
        "how far the sources stay the same when one knob of the configuration is turned",
        lambda material: stability(material.readable(), material.config),
    ),
    "calibration": Analysis(
        "whether images get the share of the votes that is theirs (Fig. 3b)",
        lambda material: calibration(with_gold(material.attributed(), material.golds)),
        needs_gold=True,
    ),
    "confidence": Analysis(
        "whether sources with larger shares of the votes are more often right",
        lambda material: confidence(with_gold(material.attributed(), material.golds)),
        needs_gold=True,
    ),
    "segmentation": Analysis(
        "Time-F1 of sound cut into tokens, bins, and the segmentations added (Fig. 2a)",
        lambda material: segmentation(
            material.readable(), material.config, material.golds, material.segmentations
        ),
        needs_gold=True,
    ),
    "quality": Analysis(
        "F1 of right and wrong answers, and F1 against ROUGE-L of the answer (Fig. 4)",
        _quality,
        needs_gold=True,
    ),
}


def analysis(name: str) -> Analysis:
    """The analysis of that name; CommandError naming the legal ones otherwise."""
    if name not in ANALYSES:
        raise CommandError(f"no analysis '{name}': {nearest(name, list(ANALYSES))}.")
    return ANALYSES[name]
