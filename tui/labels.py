"""The labels of the samples of a run, from a labels file or a planted truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omnitrace import Trace
from replay import Attribution
from replay.evaluation import Gold, judge, score
from replay.evaluation.sources import GoldFile, read_golds


@dataclass(frozen=True)
class Labels:
    """The labels of a file; each is checked against its trace when that is read."""

    file: GoldFile

    @classmethod
    def read(cls, path: Path) -> Labels:
        """The labels of a file; CommandError or OmniTraceError, with the line, if it has none."""
        return cls(read_golds(path))

    def gold(self, trace: Trace) -> Gold | None:
        """The labels of a sample, None without any; OmniTraceError if they do not fit."""
        return self.file.gold(trace) if trace.id in self.file else None

    def f1(self, trace: Trace, attribution: Attribution) -> float | None:
        """The micro F1 of an attribution over all modalities; None without labels."""
        gold = self.gold(trace)
        judged = judge(attribution, gold) if gold is not None else None
        return score([judged]).micro["all"].f1 if judged and judged.judged else None
