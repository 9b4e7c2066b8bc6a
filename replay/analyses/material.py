"""What analyses read: traces, a configuration, and what is known to be true. Knows no analysis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from omnitrace import Run
from omnitrace.samples import readable
from omnitrace.store.kinds import SEGMENTATION
from omnitrace.trace import Trace
from replay.analyses.judged import Judged
from replay.attribution import Attribution
from replay.config import ReplayConfig
from replay.evaluation import Gold
from replay.evaluation.labels import Labels
from replay.evaluation.sources import GoldFile
from replay.run import attribute_all


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
        return readable(self.traces, self._ids(), self.damaged)

    def attributed(self) -> Iterator[tuple[Trace, Attribution]]:
        """The traces in order with their attributions; CommandError if `config` fits none."""
        return attribute_all(self.traces, self._ids(), self.config, self.damaged)

    def judged(self) -> Iterator[Judged]:
        """The traces that have a gold, in order, with their attributions and golds."""
        for trace, attribution in self.attributed():
            if trace.id in self.golds:
                yield trace, attribution, self.golds[trace.id]

    def _ids(self) -> list[str]:
        """The samples that are not known to be damaged."""
        return [id for id in self.traces if id not in self.damaged]


def material_of(run: Run, config: ReplayConfig, file: GoldFile | None = None) -> Material:
    """The material of a run, with what is true of its samples according to the file.

    OmniTraceError naming the line that does not fit the run.
    """
    segmentations = tuple(a.name for a in run.additions if a.kind == SEGMENTATION)
    if file is None:
        return Material(run, config, segmentations=segmentations)
    file.check_known(run)
    rows = {id: row for id, row in file.rows.by_id.items() if id in run}
    labels = {id: row for id, row in rows.items() if isinstance(row, Labels)}
    damaged: dict[str, str] = {}
    golds = {t.id: file.gold(t) for t in readable(run, run, damaged) if t.id in rows}
    return Material(
        run,
        config,
        golds=golds,
        answers={id: row.answer for id, row in rows.items() if row.answer is not None},
        correct={id: row.correct for id, row in labels.items() if row.correct is not None},
        segmentations=segmentations,
        damaged=damaged,
    )
