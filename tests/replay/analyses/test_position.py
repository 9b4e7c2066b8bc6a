"""Positions by hand and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from replay import PRESETS
from replay.analyses.position import middles, position
from tests.build import make_trace
from tests.replay.analyses.golds import claiming


def test_a_unit_lies_where_its_middle_token_does() -> None:
    trace = make_trace()
    units = trace.units(PRESETS["paper"].units)
    found = dict(zip(units.id, middles(units, trace.n) * trace.n, strict=True))
    # One special token; five words; four words; four patches; six half seconds; a film's tokens.
    assert found["text-0"] == 3.5
    assert found["text-1"] == 8
    assert found["image-0"] == 12
    assert found["audio-0:0-1"] == 15
    assert found["video-0:0-1"] == 21.5


def test_means_and_curves_by_hand() -> None:
    trace = make_trace()
    attribution = claiming({"text-0": 0.75, "image-0": 0.25}, {}, {"image-0": 1.0})
    units = middles(attribution.units, trace.n)
    text, image = 3.5 / trace.n, 12 / trace.n
    result = position([(trace, attribution)])
    assert result.count == 3
    assert result.mean.value == pytest.approx((text + 2 * image) / 3)
    assert result.mean_votes.value == pytest.approx((0.75 * text + 1.25 * image) / 2)
    assert result.mean_random.value == pytest.approx(units.mean())
    assert result.shift.value == pytest.approx((text + 2 * image) / 3 - units.mean())
    for at, sources, votes, chance in zip(
        result.at, result.sources, result.votes, result.random, strict=True
    ):
        assert sources == pytest.approx(((text <= at) + 2 * (image <= at)) / 3)
        assert votes == pytest.approx((0.75 * (text <= at) + 1.25 * (image <= at)) / 2)
        assert chance == pytest.approx(np.mean(units <= at))


def test_no_preference_is_no_shift() -> None:
    trace = make_trace()
    every = dict.fromkeys(trace.units(PRESETS["paper"].units).id, 0.1)
    result = position([(trace, claiming(every, every, every))] * 4)
    assert result.shift.value == pytest.approx(0)
    assert result.sources == pytest.approx(result.random)
    assert (result.shift.low, result.shift.high) == pytest.approx((0, 0))


def test_a_sample_without_sources_and_a_run_without_samples() -> None:
    result = position([(make_trace(), claiming({}, {}, {}))])
    assert result.empty
    assert np.isnan(result.mean.value)
    assert result.to_dict()["mean"] == {"value": None, "low": None, "high": None}
    assert position([]).empty
