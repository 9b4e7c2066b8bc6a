"""Answer quality against attribution quality (paper §5.2, Fig. 4): right or wrong, and ROUGE-L."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from omnitrace.arrays import Float64, Int64
from omnitrace.errors import extra
from replay.analyses.figure import ACCENT, HUES, INK, QUIET
from replay.analyses.result import Result, Table, number
from replay.analyses.variants import bound_of, with_interval
from replay.evaluation import COLUMNS, Gold, Judgement, Score, score
from replay.stats import NOTHING, RESAMPLES, Estimate, resampled, spearman

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RIGHT, _WRONG = "right", "wrong"


@dataclass(frozen=True)
class Quality(Result):
    """Attribution F1 by modality and for `all`, against how good the answers are.

    - `right`, `wrong`: micro scores of the samples whose answer is right, and of the others; how
      many samples that are is in `samples`;
    - `rouge`, `f1`: by sample, ROUGE-L F of its answer and reference, and its attribution F1;
      `correlation`: Spearman's of the two by modality, NaN with fewer than three samples.
    """

    title: ClassVar[str] = "Answer quality and attribution quality"

    right: dict[str, Score]
    wrong: dict[str, Score]
    samples: dict[str, int]
    rouge: dict[str, float]
    f1: dict[str, dict[str, float]]
    correlation: dict[str, Estimate]

    @property
    def empty(self) -> bool:
        return not sum(self.samples.values()) and not self.rouge

    def table(self) -> Table:
        columns = ("F1 of", "right answers (95 %)>", "wrong answers (95 %)>", "with ROUGE-L (ρ)>")
        rows = [
            (
                name,
                with_interval(self.right[name]) if self.right[name].spans else "–",
                with_interval(self.wrong[name]) if self.wrong[name].spans else "–",
                str(self.correlation[name]),
            )
            for name in COLUMNS
        ]
        counts = (str(self.samples[_RIGHT]), str(self.samples[_WRONG]), str(len(self.rouge)))
        return Table(columns, (*rows, ("samples", *counts)))

    def draw(self, figure: Figure) -> None:
        figure.set_size_inches(8.2, 3.5)
        bars, points = figure.subplots(1, 2)
        bars.set_title("F1 by whether the answer is right")
        at = np.arange(len(COLUMNS))
        colours = [HUES.get(name, ACCENT) for name in COLUMNS]
        for shift, alpha, scores in ((-0.2, 1.0, self.right), (0.2, 0.45, self.wrong)):
            known = [c for c, name in enumerate(COLUMNS) if scores[name].spans]
            value = np.array([scores[COLUMNS[c]].f1 for c in known])
            ends = [np.array([bound_of(scores[COLUMNS[c]], e) for c in known]) for e in (0, 1)]
            bars.bar(at[known] + shift, value, 0.38, color=[colours[c] for c in known], alpha=alpha)
            around = np.maximum([value - ends[0], ends[1] - value], 0)
            bars.errorbar(at[known] + shift, value, yerr=around, fmt="none", color=INK, lw=1)
        bars.set_xticks(at, COLUMNS)
        bars.set(ylim=(0, 1), xlabel="right answers full, wrong ones faint", ylabel="F1")
        bars.grid(visible=False, axis="x")
        points.set_title(f"F1 and ROUGE-L, ρ = {number(self.correlation['all'].value)}")
        points.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="ROUGE-L of the answer")
        points.scatter(
            list(self.rouge.values()),
            [self.f1[id]["all"] for id in self.rouge],
            14,
            color=ACCENT if self.rouge else QUIET,
            alpha=0.5,
        )


def quality(
    judgements: Sequence[Judgement],
    right: Mapping[str, bool],
    rouge: Mapping[str, float],
) -> Quality:
    """F1 of the samples by whether their answer is `right`, and against their `rouge`, by id."""
    groups = [[j for j in judgements if right.get(j.id) is wanted] for wanted in (True, False)]
    scores = [score(group, RESAMPLES).micro for group in groups]
    ids = [j.id for j in judgements if j.id in rouge]
    f1 = {j.id: _f1_of(j) for j in judgements if j.id in rouge}
    rouges = np.array([rouge[id] for id in ids])
    return Quality(
        right=scores[0],
        wrong=scores[1],
        samples={_RIGHT: len(groups[0]), _WRONG: len(groups[1])},
        rouge={id: rouge[id] for id in ids},
        f1=f1,
        correlation={
            name: _correlation(rouges, np.array([f1[id].get(name, np.nan) for id in ids]))
            for name in COLUMNS
        },
    )


def all_sentences_right(golds: Iterable[Gold]) -> dict[str, bool]:
    """By sample: is every sentence of the answer true? For planted truths."""
    return {gold.id: bool(gold.judged.all()) for gold in golds if len(gold.judged)}


def rouge_l(responses: Mapping[str, str], references: Mapping[str, str]) -> dict[str, float]:
    """ROUGE-L F of each response that has a reference, by the reference package, with stemming.

    CommandError without the package.
    """
    with extra("report", "ROUGE-L needs"):
        from rouge_score.rouge_scorer import RougeScorer
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return {
        id: float(scorer.score(references[id], response)["rougeL"].fmeasure)
        for id, response in responses.items()
        if id in references
    }


def _correlation(rouges: Float64, f1: Float64) -> Estimate:
    """Spearman's, over the samples whose F1 is known; two always correlate."""
    known = np.isfinite(f1)
    one, other = rouges[known], f1[known]
    if len(one) < 3:
        return NOTHING

    def statistic(drawn: Int64) -> float:
        return spearman(one[drawn], other[drawn])

    return resampled(statistic, len(one))


def _f1_of(judgement: Judgement) -> dict[str, float]:
    """The sample's own micro F1 in each modality in which anything was scored."""
    own = score([judgement]).micro
    return {name: one.f1 for name, one in own.items() if one.spans}
