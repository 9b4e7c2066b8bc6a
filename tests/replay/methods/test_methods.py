"""Methods: their scores by plain loops, their sources, and that they compete as attributions."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from omnitrace.errors import CommandError
from replay.methods import METHODS, attribution_of, method, naming
from replay.methods.contextcite import surrogate
from tests.replay.faithfulness.made import ablated, needing


def test_masses_and_votes_are_sums_over_the_span() -> None:
    asked = ablated()
    found = asked.attribution
    for name in ("signal", "votes"):
        scores = METHODS[name].scores(asked)
        for row, span in zip(scores, found.spans, strict=True):
            wanted = np.zeros(len(asked.units))
            for t in range(*span.steps):
                if name == "signal":
                    wanted += found.mass[t]
                elif found.unit[t] >= 0:
                    wanted[found.unit[t]] += found.vote[t]
            np.testing.assert_allclose(row, wanted, rtol=1e-5)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("part", "kept"), [("all", 3), ("answer", 2), ("thinking", 1)])
def test_a_method_answers_for_the_chosen_part_of_the_response(
    name: str, part: str, kept: int
) -> None:
    asked = ablated()
    asked = replace(
        asked,
        trace=replace(asked.trace, meta={"thinking": [0, 30]}),
        config=replace(asked.config, response=part),
    )
    scores = METHODS[name].scores(asked)
    found = attribution_of(asked, scores, METHODS[name].sources(asked, scores))
    assert scores.shape == (kept, len(asked.units))
    assert [span.steps for span in found.spans] == [span.steps for span in asked.spans]
    without = replace(asked, trace=replace(asked.trace, meta={}))
    nothing = METHODS[name].scores(
        replace(without, config=replace(asked.config, response="thinking"))
    )
    assert nothing.shape == (0, len(asked.units))


def test_leaving_out_is_worth_what_is_lost() -> None:
    asked = ablated(needing(2, 5, weight=3.0))
    scores = METHODS["loo"].scores(asked)
    assert set(np.flatnonzero(scores[0] > 0.01).tolist()) == {2, 5}
    kept, full = 5.0 - 3.0, 5.0
    steps = np.flatnonzero(asked.steps[0])
    lost = [np.log1p(np.exp(-kept - 0.01 * t)) - np.log1p(np.exp(-full - 0.01 * t)) for t in steps]
    assert scores[0, 2] == pytest.approx(sum(lost), rel=1e-4)
    assert METHODS["loo"].calls(asked) == len(asked.units) + 1


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(8, 40),
    units=st.integers(1, 12),
    tokens=st.integers(1, 30),
)
def test_the_surrogate_is_context_cites(seed: int, rows: int, units: int, tokens: int) -> None:
    rng = np.random.default_rng(seed)
    kept = rng.random((rows, units)) < 0.5
    odds = kept @ rng.normal(0, 4, units) + rng.normal(0, 1, rows)
    # Its own formula: scaled masks, targets a token, weights brought back.
    scaler, lasso = StandardScaler(), Lasso(alpha=0.01, random_state=0, fit_intercept=True)
    make_pipeline(scaler, lasso).fit(kept.astype(np.float64), odds / tokens)
    wanted = lasso.coef_ / scaler.scale_ * tokens
    np.testing.assert_allclose(surrogate(kept, odds, tokens), wanted, atol=1e-6)


def test_the_surrogate_finds_what_is_needed() -> None:
    asked = ablated(needing(1, 6))
    scores = METHODS["contextcite"].scores(asked)
    for row in scores:
        assert set(np.argsort(-row)[:2].tolist()) == {1, 6}
    assert METHODS["contextcite"].calls(asked) == len(asked.recorded.fitting()[0])


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sklearn.linear_model", "sklearn.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CommandError, match=r"omnitrace-replay\[faithful\]"):
        surrogate(np.eye(3, dtype=bool), np.zeros(3), 1)


def test_sources_are_what_is_large_and_an_attribution_like_any_other() -> None:
    asked = ablated(needing(2, 5, weight=4.0))
    chosen = METHODS["loo"]
    scores = chosen.scores(asked)
    found = attribution_of(asked, scores, chosen.sources(asked, scores))
    assert [span.text for span in found.spans] == [s.text for s in asked.attribution.spans]
    for span in found.spans:
        assert sorted(source.unit for source in span.sources) == [2, 5]
        assert sum(source.mass for source in span.sources) == pytest.approx(1)
    unmoved = ablated(lambda kept: 5.0)
    scores = chosen.scores(unmoved)
    nothing = attribution_of(unmoved, scores, chosen.sources(unmoved, scores))
    assert all(span.sources == () for span in nothing.spans), "a span may have no cause"
    own = METHODS["signal"]
    kept = attribution_of(asked, own.scores(asked), own.sources(asked, own.scores(asked)))
    for one, other in zip(kept.spans, asked.attribution.spans, strict=True):
        assert {s.unit for s in one.sources} == {s.unit for s in other.sources}


def test_chance_is_the_same_every_time() -> None:
    for name in ("random", "length"):
        one, two = (METHODS[name].scores(ablated()) for _ in range(2))
        assert np.array_equal(one, two)
    tokens = METHODS["length"].scores(ablated())[0]
    assert np.array_equal(tokens, ablated().recorded.tokens)


def test_an_unknown_method_is_named_with_the_nearest() -> None:
    with pytest.raises(CommandError, match="did you mean 'contextcite'"):
        method("context-cite")


def test_a_threshold_names_large_shares_above_the_least() -> None:
    asked = ablated()
    scores = np.array([[4.0, 1.0, 2.0], [-1.0, -2.0, -3.0], [0.5, 0.4, 0.0]])
    assert naming(0.5)(asked, scores).tolist() == [
        [True, False, True],
        [False, False, False],
        [True, True, False],
    ]
    assert naming(0.5, 0.5)(asked, scores)[2].tolist() == [True, False, False]
    assert not naming(0.5, 5.0)(asked, scores).any()
