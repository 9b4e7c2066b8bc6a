"""The same run scored under several configurations: what segmentation and streams share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from omnitrace.errors import SampleError
from omnitrace.trace import Trace
from replay.analyses.figure import HUES, INK, new_axes
from replay.analyses.result import Result, Table, number
from replay.attribution import Replayer
from replay.config import ReplayConfig
from replay.evaluation import Gold, Judgement, Score, judge, score
from replay.stats import RESAMPLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Variants(Result):
    """Time-F1 of one `modality` by variant: `micro` and `macro` scores with their intervals."""

    modality: str
    names: tuple[str, ...]
    micro: tuple[Score, ...]
    macro: tuple[Score, ...]

    @classmethod
    def of(
        cls,
        modality: str,
        traces: Iterable[Trace],
        golds: Mapping[str, Gold],
        configs: Mapping[str, ReplayConfig],
    ) -> Self:
        """The scores, with intervals, of the samples that have a gold, by the name in `configs`."""
        judgements = score_variants(traces, golds, configs)
        scores = [score(one, RESAMPLES) for one in judgements.values()]
        micro = tuple(one.micro[modality] for one in scores)
        macro = tuple(one.macro[modality] for one in scores)
        return cls(modality, tuple(configs), micro, macro)

    @property
    def empty(self) -> bool:
        return not any(one.spans for one in self.micro)

    def table(self) -> Table:
        columns = ("variant", "sentences>", "P>", "R>", "Time-F1 (95 %)>", "macro>")
        rows = [
            (
                name,
                str(micro.spans),
                number(micro.precision),
                number(micro.recall),
                with_interval(micro),
                number(macro.f1),
            )
            for name, micro, macro in zip(self.names, self.micro, self.macro, strict=True)
        ]
        return Table(columns, tuple(rows))

    def draw(self, figure: Figure) -> None:
        axes = new_axes(figure, self.title)
        at = np.arange(len(self.names))
        value = np.array([one.f1 for one in self.micro])
        axes.bar(at, value, 0.62, color=HUES[self.modality])
        low, high = (np.array([bound_of(one, b) for one in self.micro]) for b in (0, 1))
        around = np.maximum([value - low, high - value], 0)
        axes.errorbar(at, value, yerr=around, fmt="none", color=INK, lw=1.2, capsize=3)
        turn = 30 if max(map(len, self.names)) * len(self.names) > 48 else 0
        axes.set_xticks(at, self.names, rotation=turn, ha="right" if turn else "center")
        axes.set(ylim=(0, 1), ylabel="Time-F1")
        axes.grid(visible=False, axis="x")


def with_interval(score: Score) -> str:
    """F1 and its interval in words."""
    return f"{number(score.f1)} [{number(bound_of(score, 0))}, {number(bound_of(score, 1))}]"


def bound_of(score: Score, end: int) -> float:
    """The lower (0) or upper (1) end of F1's interval; F1 itself without one."""
    return (score.f1_interval or (score.f1, score.f1))[end]


def score_variants(
    traces: Iterable[Trace], golds: Mapping[str, Gold], configs: Mapping[str, ReplayConfig]
) -> dict[str, list[Judgement]]:
    """What each configuration found in the samples that have a gold.

    A sample that lacks the segmentation or tags that one needs is not among its.
    """
    judgements: dict[str, list[Judgement]] = {name: [] for name in configs}
    for trace in traces:
        if trace.id not in golds:
            continue
        replayer = Replayer(trace)
        for name, config in configs.items():
            try:
                judgements[name].append(judge(replayer.attribute(config), golds[trace.id]))
            except SampleError:
                continue
    return judgements
