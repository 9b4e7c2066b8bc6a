"""Reliability by hand, ranks against pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.analyses.confidence import confidence
from replay.evaluation.trust import ranked_right
from tests.replay.analyses.golds import FACT, PICTURE, TONE, claiming, judged, truth_of

TRUTH = truth_of((FACT,), (PICTURE,), (TONE,))


def test_bins_by_hand() -> None:
    found = claiming(
        {"text-0": 0.95, "image-0": 0.05}, {"image-0": 0.92}, {"text-1": 0.98}, dropped={}
    )
    result = confidence([judged(found, TRUTH)])
    assert result.candidates.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    assert result.share[[0, 9]] == pytest.approx([0.05, (0.95 + 0.92 + 0.98) / 3])
    assert result.right[[0, 9]] == pytest.approx([0, 2 / 3])
    expected = (0.05 + 3 * abs(0.95 - 2 / 3)) / 4
    assert result.error.value == pytest.approx(expected)
    assert result.share_rank == pytest.approx(2 / 4)
    assert result.kept_right.value == pytest.approx(2 / 4)


def test_the_dropped_are_candidates_too() -> None:
    found = claiming({"text-0": 0.9}, {"image-0": 0.9}, {"text-0": 0.9}, dropped={"text-1": 0.1})
    result = confidence([judged(found, TRUTH)])
    assert result.candidates.sum() == 6
    assert result.dropped_right.value == 0
    assert result.kept_right.value == pytest.approx(2 / 3)


def test_spans_of_which_not_all_is_known_do_not_count() -> None:
    found = claiming({"text-0": 1.0}, {"image-0": 1.0}, {"text-0": 1.0})
    result = confidence([judged(found, truth_of(None, (PICTURE,), (TONE,)))])
    assert result.candidates.sum() == 2
    assert confidence([]).empty


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=12),
)
def test_ranks_are_those_of_all_pairs(pairs: list[tuple[int, bool]]) -> None:
    yes = [score for score, right in pairs if right]
    no = [score for score, right in pairs if not right]
    found = ranked_right(*np.array(pairs, float).reshape(-1, 2).T)
    if yes and no:
        wins = [(y > n) + (y == n) / 2 for y in yes for n in no]
        assert found == pytest.approx(np.mean(wins))
    else:
        assert np.isnan(found)
