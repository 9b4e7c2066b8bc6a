"""Learned heads: the gradient, a law that is found again, and a configuration that replays it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.arrays import Float32
from omnitrace.attention import HEAD_ARRAYS
from omnitrace.config import build
from omnitrace.errors import CommandError
from omnitrace.units import UnitConfig
from replay import PRESETS
from replay.methods import AttributionTask
from replay.methods.learn import Example, as_config, examples_of, learn
from tests.replay.faithfulness.made import NO_REQUEST, ablated, needing

SHAPE = (2, 3)
TASK_OF = partial(AttributionTask, config=NO_REQUEST)


def with_heads(asked: AttributionTask, seed: int = 0, knows: int = 4) -> AttributionTask:
    """The task of a trace with six random heads, of which one attends to what is needed."""
    trace, rng = asked.trace, np.random.default_rng(seed)
    owner = trace.units(UnitConfig()).owner_of_tokens(trace.n)
    units = int(owner.max()) + 1
    mass = rng.dirichlet(np.ones(units), (*SHAPE, trace.T)).astype(np.float32)
    mass.reshape(-1, trace.T, units)[knows] = np.eye(units)[1]
    arrays = dict(zip(HEAD_ARRAYS, (mass, owner), strict=True))
    return AttributionTask(replace(trace, arrays=arrays), asked.config)


def example(seed: int, rows: int = 9, heads: int = 5) -> Example:
    rng = np.random.default_rng(seed)
    features, target = rng.normal(size=(rows, heads)), rng.normal(size=rows)
    return Example(features - features.mean(axis=0), target - target.mean())


@given(seed=st.integers(0, 10**6))
def test_the_gradient_is_that_of_the_correlation(seed: int) -> None:
    one = example(seed)
    weights = np.random.default_rng(seed + 1).random(5) + 0.1
    rho, gradient = one.correlation(weights)
    assert rho == pytest.approx(np.corrcoef(one.features @ weights, one.target)[0, 1])
    for head in range(5):
        step = np.zeros(5)
        step[head] = 1e-6
        up, down = (one.correlation(weights + s * step)[0] for s in (1, -1))
        assert gradient[head] == pytest.approx((up - down) / 2e-6, abs=1e-5)


def test_features_are_signed_sums_of_pooled_attention() -> None:
    asked = with_heads(ablated(needing(1)))
    kept, _ = asked.recorded.fitting()
    first = examples_of(asked)[0]
    mass = asked.trace.heads().mass
    wanted = np.zeros((len(kept), 6))
    for row in range(len(kept)):
        for head in range(6):
            for unit in range(len(asked.units)):
                sign = 1 if kept[row, unit] else -1
                steps = asked.steps[0]
                wanted[row, head] += (
                    sign * mass.reshape(6, asked.trace.T, -1)[head][steps, unit].mean()
                )
    np.testing.assert_allclose(first.features, wanted - wanted.mean(axis=0), atol=1e-6)


def test_the_head_that_knows_is_found_and_replays() -> None:
    failed: dict[str, str] = {}
    run = {str(seed): with_heads(ablated(needing(1)), seed).trace for seed in range(3)}
    found = learn(run, run, TASK_OF, failed)
    assert (found.samples, found.spans, failed) == (3, 9, {})
    assert np.argmax(found.weights) == 4
    assert found.weights.min() >= 0
    assert found.weights.sum() == pytest.approx(1)
    assert found.after > max(found.before, 0.95)
    again = learn(run, run, TASK_OF, {})
    assert np.array_equal(found.weights, again.weights)
    config = as_config(found, NO_REQUEST)
    build(PRESETS["default"], {"heads": config.heads}, "test")  # of the form that files must have
    fresh = with_heads(ablated(needing(1), config), 99)
    for span in fresh.attribution.spans:
        assert span.sources[0].unit == 1
    tau = fresh.attribution.mass
    mass: Float32 = fresh.trace.heads().mass
    wanted = np.einsum("lhtu,lh->tu", mass, found.weights)[:, : len(fresh.units)]
    np.testing.assert_allclose(tau, wanted, atol=1e-4)


def test_what_is_missing_is_said() -> None:
    with pytest.raises(CommandError, match="--level heads"):
        learn({"a": ablated().trace}, ["a"], TASK_OF, {})
    failed: dict[str, str] = {}
    bare = replace(ablated().trace, ablations={})
    with pytest.raises(CommandError, match="nothing to learn from"):
        learn({"a": bare}, ["a"], TASK_OF, failed)
    assert list(failed) == ["a"]
