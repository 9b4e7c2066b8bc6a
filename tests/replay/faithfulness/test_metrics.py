"""Every metric against its formula in plain loops, and on laws whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from omnitrace.errors import CommandError
from replay.faithfulness import METRICS, Case, Unanswerable, metric, sensitive
from replay.faithfulness.aopc import counts
from replay.faithfulness.drop import similar_sets
from replay.faithfulness.lds import lds
from replay.stats import spearman
from tests.replay.faithfulness.made import Law, ablated, needing

FLOATS = st.floats(-3, 3).map(lambda x: round(x, 1))


def case_of(scores: list[float] | None = None, law: Law | None = None, seed: int = 0) -> Case:
    """The second sentence of the made trace, with scores or random ones."""
    asked = ablated(law)
    m = len(asked.units)
    given = np.random.default_rng(seed).random(m) if scores is None else np.array(scores)
    return Case(asked.recorded, given, asked.steps[1], np.ones(m, bool))


def logprob(case: Case, law: Law, gone: list[int]) -> float:
    """By the law itself."""
    kept = np.ones(len(case.scores) + 1, bool)
    kept[gone] = False
    odds = law(kept) + 0.01 * np.flatnonzero(case.counted)
    return float(-np.log1p(np.exp(-odds)).sum())


def best_first(case: Case) -> list[int]:
    return sorted(range(len(case.scores)), key=lambda unit: (-case.scores[unit], unit))


@given(pairs=st.lists(st.tuples(FLOATS, FLOATS), min_size=2, max_size=12))
def test_spearman_is_scipys(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    if np.ptp(x) and np.ptp(y):
        assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-9)
    else:
        assert spearman(x, y, constant=0.0) == 0


def test_lds_is_the_rank_correlation_with_the_held_out_rows() -> None:
    case = case_of(seed=3)
    first = case.recorded.first
    x, y = [], []
    for row in np.flatnonzero(first.held_out):
        lp = float(first.logprob[row][case.counted].sum())
        x.append(lp - np.log(1 - np.exp(lp)))
        y.append(sum(case.scores[u] for u in range(len(case.scores)) if first.kept[row, u]))
    assert lds(case) == pytest.approx(spearmanr(x, y).statistic, abs=1e-9)


def test_lds_of_the_law_itself_is_one_and_of_what_says_nothing_nought() -> None:
    weights = [0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 4.0, 0.0]
    law: Law = lambda kept: float(np.dot(weights, kept[: len(weights)]))  # noqa: E731
    m = len(case_of().scores)
    assert lds(case_of((weights + [0.0] * m)[:m], law)) == pytest.approx(1)
    assert lds(case_of([1.0] * m, lambda kept: float(kept[1]))) != 1
    assert lds(case_of([0.0] * m, law)) == 0
    with pytest.raises(Unanswerable, match="same under all masks"):
        lds(case_of(law=lambda kept: 1.0))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_drop_is_what_the_best_are_worth(k: int) -> None:
    law = needing(1, 4)
    case = case_of(law=law, seed=k)
    wanted = logprob(case, law, []) - logprob(case, law, best_first(case)[:k])
    assert METRICS[f"drop-{k}"].value(case) == pytest.approx(wanted, rel=1e-4)


def test_chance_is_other_units_of_as_many_tokens() -> None:
    law = needing(1)
    case = case_of([0, 1, 0, 0, 0, 0, 0, 0], law)
    top, sets = case.top(1), similar_sets(case, case.top(1))
    assert sets
    for gone in sets:
        assert not (gone & top).any()
        share = case.recorded.tokens[gone].sum() / case.recorded.tokens[top].sum()
        assert 0.5 <= share <= 2
    chance = METRICS["drop-1"].chance
    assert chance is not None
    assert chance(case) == pytest.approx(0)
    assert METRICS["drop-1"].value(case) > 1


def test_comprehensiveness_and_sufficiency() -> None:
    law = needing(0, 3)
    case = case_of(law=law, seed=7)
    order, m, full = best_first(case), len(case.scores), logprob(case, law, [])
    assert m == 8
    assert counts(case) == [1, 1, 1, 2, 4]
    sizes = [max(1, int(np.ceil(q * m))) for q in (0.01, 0.05, 0.1, 0.2, 0.5)]
    lost = [full - logprob(case, law, order[:k]) for k in sizes]
    left = [full - logprob(case, law, order[k:]) for k in sizes]
    assert METRICS["comprehensiveness"].value(case) == pytest.approx(np.mean(lost), rel=1e-4)
    assert METRICS["sufficiency"].value(case) == pytest.approx(np.mean(left), rel=1e-4)


def test_normalised_is_between_the_worst_ranking_and_the_best() -> None:
    law: Law = lambda kept: float(kept @ np.array([0.5, 2, -1, 3, 0, 0, 0, 0, 0]))  # noqa: E731
    case = case_of(law=law, seed=1)
    named = np.arange(8) < 5
    case = replace(case, named=named)
    full, sizes = logprob(case, law, []), counts(case)
    lost = [
        np.mean([full - logprob(case, law, list(order[:k])) for k in sizes])
        for order in permutations(range(5))
    ]
    own = np.mean([full - logprob(case, law, case.ranking[:k].tolist()) for k in sizes])
    wanted = (own - min(lost)) / (max(lost) - min(lost))
    assert METRICS["normalised"].value(case) == pytest.approx(wanted, abs=1e-4)
    for sign, value in ((1.0, 1.0), (-1.0, 0.0)):
        law_scores = sign * np.array([0.5, 2, -1, 3, 0, 0, 0, 0])
        best = replace(case, scores=law_scores)
        assert METRICS["normalised"].value(best) == pytest.approx(value, abs=1e-4)


def test_curves_are_areas_over_the_share_of_tokens() -> None:
    law = needing(1, 5)
    case = case_of(law=law, seed=2)
    order, tokens = best_first(case), case.recorded.tokens
    steps = np.flatnonzero(case.counted)

    def probability(gone: list[int]) -> float:
        kept = np.ones(len(case.scores) + 1, bool)
        kept[gone] = False
        return float(np.mean([1 / (1 + np.exp(-law(kept) - 0.01 * t)) for t in steps]))

    going, coming, area = 0.0, 0.0, [0.0, 0.0]
    for k in range(len(order)):
        width = tokens[order[k]] / tokens.sum()
        area[0] += width * (probability(order[:k]) + probability(order[: k + 1])) / 2
        area[1] += width * (probability(order[k:]) + probability(order[k + 1 :])) / 2
    going, coming = area
    assert METRICS["deletion"].value(case) == pytest.approx(going, rel=1e-4)
    assert METRICS["insertion"].value(case) == pytest.approx(coming, rel=1e-4)


def test_only_tokens_that_need_the_prompt_are_sensitive() -> None:
    asked = ablated(needing(0, weight=8.0))
    assert sensitive(asked.recorded).all()
    assert not sensitive(ablated(lambda kept: 5.0).recorded).any()


def test_units_that_may_not_be_named_are_never_taken_away() -> None:
    case = case_of([9, 1, 2, 3, 4, 5, 6, 7])
    case = replace(case, named=np.arange(8) != 0)
    assert case.ranking.tolist() == [7, 6, 5, 4, 3, 2, 1]
    assert not case.top(7)[0]


def test_an_unknown_metric_is_named_with_the_nearest() -> None:
    with pytest.raises(CommandError, match="did you mean 'drop-1'"):
        metric("drop1")
