"""Quality: groups by hand, ranks against the textbook formula, ROUGE-L against its definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.analyses.quality import all_sentences_right, quality, rouge_l
from replay.evaluation import Judgement, judge
from replay.stats import mean_ranks, spearman
from tests.replay.analyses.golds import FACT, PICTURE, TONE, claiming, judged, truth_of

TRUTH = truth_of((FACT,), (PICTURE,), (TONE,))


def judgement(id: str, right: bool) -> Judgement:
    found = claiming({"text-0": 1.0}, {"image-0": 1.0} if right else {}, {"audio-0:1-2": 1.0})
    _, attribution, gold = judged(found, TRUTH)
    return replace(judge(attribution, gold), id=id)


def test_groups_by_hand() -> None:
    judgements = [judgement("a", True), judgement("b", False), judgement("c", False)]
    result = quality(judgements, {"a": True, "b": False, "c": True}, {})
    assert result.samples == {"right": 2, "wrong": 1}
    assert result.right["image"].f1 == pytest.approx(2 / 3)
    assert result.wrong["image"].f1 == 0
    assert result.wrong["text"].f1 == 1
    assert not result.empty
    assert quality([], {}, {}).empty


def test_rouge_is_paired_by_sample() -> None:
    judgements = [judgement(id, right) for id, right in (("a", True), ("b", False), ("c", True))]
    result = quality(judgements, {}, {"a": 0.9, "b": 0.1, "c": 0.8, "unknown": 0.5})
    assert list(result.rouge) == ["a", "b", "c"]
    assert result.f1["b"]["image"] == 0
    # Ranks of F1 are 2.5, 1, 2.5 and of ROUGE-L 3, 1, 2.
    assert result.correlation["image"].value == pytest.approx(np.sqrt(3) / 2)
    assert np.isnan(result.correlation["text"].value)


def test_two_samples_do_not_correlate() -> None:
    judgements = [judgement(id, right) for id, right in (("a", True), ("b", False))]
    result = quality(judgements, {}, {"a": 0.9, "b": 0.1})
    assert np.isnan(result.correlation["image"].value)


def test_an_answer_is_right_if_all_its_sentences_are() -> None:
    golds = [judged(claiming({}, {}, {}), truth)[2] for truth in (TRUTH, truth_of(None, (), ()))]
    assert all_sentences_right(golds[:1]) == {"sample-0": True}
    assert all_sentences_right(golds[1:]) == {"sample-0": False}


def test_rouge_l_is_the_f_of_the_longest_common_subsequence() -> None:
    found = rouge_l({"a": "The red cat sat.", "b": "x"}, {"a": "a cat sat down"})
    assert list(found) == ["a"]
    assert found["a"] == pytest.approx(2 / 4)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=10))
def test_ranks_are_mean_positions(values: list[int]) -> None:
    ordered = sorted(values)
    expected = [np.mean([i for i, o in enumerate(ordered) if o == v]) for v in values]
    assert mean_ranks(np.array(values, float)) == pytest.approx(np.array(expected))


def test_spearman() -> None:
    one = np.array([1.0, 2, 3, 4, 5])
    assert spearman(one, one**3) == pytest.approx(1)
    assert spearman(one, -one) == pytest.approx(-1)
    other = np.array([2.0, 1, 4, 3, 5])
    assert spearman(one, other) == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert np.isnan(spearman(one, np.ones(5)))
