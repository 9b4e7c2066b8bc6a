"""Bootstrap intervals: what they hold and what they do without data."""

from __future__ import annotations

import numpy as np
import pytest

from replay.stats import NOTHING, pooled, resampled


def test_a_pooled_ratio_lies_in_its_interval() -> None:
    rng = np.random.default_rng(1)
    top, bottom = rng.random(50), rng.random(50) + 1
    found = pooled(top, bottom)
    assert found.value == pytest.approx(top.sum() / bottom.sum())
    assert found.low < found.value < found.high


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(2).normal(size=400)
    half = 1.96 * values.std() / 20
    for found in (
        pooled(values, np.ones(400)),
        resampled(lambda drawn: float(values[drawn].mean()), 400),
    ):
        assert found.value == pytest.approx(values.mean())
        assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_samples_with_nothing_and_no_samples() -> None:
    assert pooled(np.array([]), np.array([])) == NOTHING
    assert pooled(np.zeros(3), np.zeros(3)) == NOTHING
    assert pooled(np.array([1.0, 0.0]), np.array([2.0, 0.0])).value == 0.5
    assert resampled(lambda drawn: float("nan"), 3) == NOTHING
    assert resampled(lambda drawn: 1.0, 0) == NOTHING
    assert str(NOTHING) == "–"
