"""Which masks answer what: unions of base units exactly, anything else with a sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omnitrace.ablations import Row
from omnitrace.errors import SampleError
from omnitrace.units import UnitConfig
from replay.faithfulness.recorded import Recorded, Unanswerable, span_log_odds
from tests.build import make_trace
from tests.replay.faithfulness.made import ablated, needing


def test_a_mask_is_found_by_what_it_takes_away() -> None:
    asked = ablated(needing(0, 2))
    recorded = asked.recorded
    removed = np.zeros((2, len(recorded)), bool)
    removed[1, [0, 1]] = True
    found = recorded.without(removed)
    np.testing.assert_allclose(found[0], recorded.full)
    odds = 5.0 - 4.0 + 0.01 * np.arange(asked.trace.T)
    np.testing.assert_allclose(found[1], -np.log1p(np.exp(-odds)), rtol=1e-5)
    assert recorded.missing == set()
    assert recorded.tokens.tolist() == [
        sum(e - s for s, e in asked.units.ranges[a:b].tolist())
        for a, b in zip(asked.units.offset[:-1], asked.units.offset[1:], strict=True)
    ]


def test_coarser_units_are_answered_by_the_same_rows() -> None:
    asked = ablated()
    coarse = UnitConfig(text="part", request="leave-out", audio_seconds=3.0, video_seconds=2.0)
    units = asked.trace.units(coarse)
    recorded = Recorded.of(asked.trace, units)
    removed = np.zeros(len(units), bool)
    removed[0] = True  # both sentences
    fine = np.zeros(len(asked.recorded), bool)
    fine[:2] = True
    assert np.array_equal(recorded.without([removed]), asked.recorded.without([fine]))
    kept, logprob = recorded.fitting()
    assert len(kept) < len(asked.recorded.fitting()[0])
    assert len(kept) == len(logprob) >= 8


@pytest.mark.parametrize(
    "config", [UnitConfig(text="clause"), UnitConfig(audio_seconds=0.5), UnitConfig(image="grid")]
)
def test_finer_units_are_refused(config: UnitConfig) -> None:
    asked = ablated()
    trace = asked.trace
    if config.text == "clause":
        text = trace.prompt_text.replace("weighs seven", "weigh, seven")
        trace = replace(trace, prompt_text=text)
    with pytest.raises(Unanswerable, match="is finer than what was taken away, or crosses it"):
        Recorded.of(trace, trace.units(config))


def test_a_missing_mask_is_missing_and_said() -> None:
    asked = ablated()
    first = asked.trace.ablation("mask")
    few = replace(first, kept=first.kept[:5], why=first.why[:5], held_out=first.held_out[:5])
    few = replace(few, log_odds=first.log_odds[:5])
    trace = replace(asked.trace, ablations={"mask": few})
    recorded = Recorded.of(trace, asked.units)
    gone = np.zeros(len(recorded), bool)
    gone[[0, 3]] = True
    with pytest.raises(Unanswerable, match="not recorded"):
        recorded.without([gone])
    assert recorded.missing == {(0, 3)}
    with pytest.raises(Unanswerable, match="fewer than 8 random masks"):
        recorded.held_out()
    with pytest.raises(Unanswerable, match="without any context"):
        recorded.emptied()
    more = replace(first, name="asked", why=np.full(len(first.why), Row.ASKED, np.uint8))
    both = replace(trace, ablations={"mask": few, "asked": more})
    assert np.array_equal(
        Recorded.of(both, asked.units).without([gone]), asked.recorded.without([gone])
    ), "rows recorded in the same way under another name count"
    other = replace(both, ablations={"mask": few, "asked": replace(more, mode="mean-embedding")})
    with pytest.raises(Unanswerable):
        Recorded.of(other, asked.units).without([gone])
    with pytest.raises(SampleError, match="no ablations 'mask'"):
        Recorded.of(make_trace(), asked.units)


def test_span_log_odds_are_exact_near_one_and_zero() -> None:
    lp = np.array([[-1e-12, -1e-12], [-0.05, -0.1], [-300.0, -500.0]])
    total = lp.sum(axis=1)
    wanted = [total[0] - np.log(2e-12), total[1] - np.log(-np.expm1(total[1])), -800.0]
    np.testing.assert_allclose(span_log_odds(lp), wanted, rtol=1e-9)
    assert np.isfinite(span_log_odds(np.zeros((1, 2)))).all()
