"""Scores: precision, recall and F1 from counts, micro and macro, with bootstrap intervals.

One sample's counts are summed into a `tally`; every score of any set of samples follows from the
sum of their tallies, so that a bootstrap is one matrix product. Knows no trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from omnitrace.arrays import Bool, Float64, Int64
from replay.attribution import Attribution
from replay.evaluation.gold import Gold
from replay.evaluation.space import COLUMNS
from replay.evaluation.trust import WIDTH, trust_of
from replay.stats import bootstrap_sums, percentile_bounds


@dataclass(frozen=True)
class Score:
    """Precision, recall and F1, from 0 to 1, over `spans` sentences of `samples` samples.

    Micro: of the pooled counts; 1 if there was nothing to find and nothing was found. Macro: the
    mean of the sentences' own, where one with nothing to find and nothing found has 1, and one
    with either alone has 0. `low` and `high` bound precision, recall and F1; None where no
    bootstrap was run.
    """

    precision: float
    recall: float
    f1: float
    spans: int
    samples: int
    low: tuple[float, float, float] | None = None
    high: tuple[float, float, float] | None = None

    @property
    def f1_interval(self) -> tuple[float, float] | None:
        """The bounds of F1, where there are any."""
        return (self.low[2], self.high[2]) if self.low and self.high else None


@dataclass(frozen=True)
class Scores:
    """Scores by modality and for `all` together; a modality counts in prompts that have it.

    `judged`: sentences with a known truth, and only they are scored; `wrong`: the others.
    """

    micro: dict[str, Score]
    macro: dict[str, Score]
    samples: int
    judged: int
    wrong: int


@dataclass(frozen=True)
class Judgement:
    """One judged sample: `tally` (5, 7) float64 as of `tally`, how it may be grouped, and `trust`
    (k, 6) as of `trust_of`, of an attribution."""

    id: str
    task: str
    modalities: str
    tally: Float64
    judged: int
    wrong: int
    trust: Float64 = field(default_factory=lambda: np.empty((0, WIDTH)))


def evaluate(
    attributions: Iterable[Attribution],
    golds: Mapping[str, Gold],
    draws: int = 0,
    seed: int = 0,
) -> Scores:
    """Scores of the attributions whose samples have a gold; the others are passed over."""
    judged = [judge(a, golds[a.id]) for a in attributions if a.id in golds]
    return score(judged, draws, seed)


def judge(attribution: Attribution, gold: Gold) -> Judgement:
    """What one attribution found, whatever its units and chunker, of the sentences that share a
    step with its spans: all, unless only a part of the response is attributed."""
    claims = gold.space.claims(attribution.units)
    selected = np.zeros((len(attribution.spans), len(claims)), np.bool_)
    for row, span in zip(selected, attribution.spans, strict=True):
        row[[source.unit for source in span.sources]] = True
    steps = np.array([span.steps for span in attribution.spans], np.int32).reshape(-1, 2)
    gold = gold.within(steps)
    found = judgement(gold, gold.found(claims, selected, steps))
    return replace(found, trust=trust_of(attribution, gold))


def judge_prediction(gold: Gold, predicted: Gold) -> Judgement:
    """What another labels file found, in the modalities that both label."""
    return judgement(replace(gold, scored=gold.scored & predicted.scored), predicted.true)


def judgement(gold: Gold, found: Bool) -> Judgement:
    """How many of the labels `found` (K, L) are right."""
    return Judgement(
        id=gold.id,
        task=gold.task,
        modalities=gold.modalities,
        tally=tally(gold, found),
        judged=int(gold.judged.sum()),
        wrong=int((~gold.judged).sum()),
    )


def tally(gold: Gold, found: Bool) -> Float64:
    """(5, 7) float64: all that one sample adds to any score; `found` (K, L) bool."""
    return tally_of(gold.counts(found)[gold.judged], gold.scored)


def tally_of(counts: Int64, scored: Bool) -> Float64:
    """(5, 7) float64 by `COLUMNS`, from the counts (J, 5, 3) of J sentences.

    Right, found and true labels; how many sentences; the sums of their precision, recall and F1.
    Zero in a modality that is not `scored` (4,).
    """
    each = np.ones((*counts.shape[:2], 1))
    added: Float64 = np.concatenate([counts, each, prf(counts)], axis=-1).sum(axis=0)
    added[:-1][~scored] = 0
    return added


def prf(counts: npt.NDArray[np.number]) -> Float64:
    """Precision, recall and F1 (…, 3) of right, found and true (…, 3).

    With nothing found the precision is 0, unless nothing was there; recall likewise.
    """
    right, found, true = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    return np.stack(
        [
            np.where(found > 0, right / np.maximum(found, 1), true == 0),
            np.where(true > 0, right / np.maximum(true, 1), found == 0),
            np.where(found + true > 0, 2 * right / np.maximum(found + true, 1), 1.0),
        ],
        axis=-1,
    )


def score(judgements: Sequence[Judgement], draws: int = 0, seed: int = 0) -> Scores:
    """The scores of these samples together; `draws` as in `scores_of`."""
    tallies = np.array([j.tally for j in judgements]).reshape(-1, len(COLUMNS), 7)
    micro, macro = scores_of(tallies, draws, seed)
    judged, wrong = sum(j.judged for j in judgements), sum(j.wrong for j in judgements)
    return Scores(micro, macro, len(judgements), judged, wrong)


def scores_of(
    tallies: Float64, draws: int = 0, seed: int = 0
) -> tuple[dict[str, Score], dict[str, Score]]:
    """Micro and macro scores by column of S samples, from their `tallies` (S, 5, 7).

    With `draws`, 95 % percentile intervals of that many bootstrap samples of S samples each.
    """
    total = tallies.sum(axis=0)
    sizes = np.stack([total[:, 3], np.count_nonzero(tallies[:, :, 3], axis=0)], axis=1)
    intervals = _intervals(tallies, draws, seed) if draws and len(tallies) else (None, None)
    micro, macro = (
        {name: _score(*at) for name, *at in zip(COLUMNS, values, sizes, bounds, strict=True)}
        for values, bounds in zip(
            (_micro(total), _macro(total)),
            ([None] * len(COLUMNS) if i is None else i for i in intervals),
            strict=True,
        )
    )
    return micro, macro


def _micro(total: Float64) -> Float64:
    """(…, 3) from summed tallies (…, 7)."""
    return prf(total[..., :3])


def _macro(total: Float64) -> Float64:
    spans = total[..., 3:4]
    return np.where(spans > 0, total[..., 4:] / np.maximum(spans, 1), 1.0)


def _score(values: Float64, sizes: Float64, bounds: Float64 | None) -> Score:
    precision, recall, f1 = values.tolist()
    spans, samples = sizes.astype(int).tolist()
    low, high = (None, None) if bounds is None else (tuple(bound) for bound in bounds.tolist())
    return Score(precision, recall, f1, spans, samples, low, high)


def _intervals(tallies: Float64, draws: int, seed: int) -> tuple[Float64, Float64]:
    """The bounds of micro and macro scores: (5, 2, 3) each, low before high."""
    totals = bootstrap_sums(tallies.reshape(len(tallies), -1), draws, seed)
    totals = totals.reshape(draws, *tallies.shape[1:])
    micro, macro = (np.moveaxis(percentile_bounds(of(totals)), 0, 1) for of in (_micro, _macro))
    return micro, macro
