"""A trace's scores: ragged rows to dense matrices and back, layers, the two first rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.errors import OmniTraceError
from omnitrace.trace import SignalRows, causal_mask, pack_rows
from tests.build import make_trace

shapes = st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(1, 3))


@given(shapes, st.integers(0, 2**32 - 1))
def test_packed_rows_come_back(shape: tuple[int, int, int], seed: int) -> None:
    n, steps, layers = shape
    dense = np.random.default_rng(seed).random((layers, steps, n + steps), np.float32)
    dense *= causal_mask(n, steps)
    packed = pack_rows(dense, n)
    assert packed.shape == (layers * (steps * n + steps * (steps - 1) // 2),)
    trace = make_trace(
        prompt_ids=np.zeros(n, np.int32),
        response_ids=np.zeros(steps, np.int32),
        signals={"attmean": SignalRows(packed, tuple(range(layers)))},
    )
    assert np.array_equal(trace.scores("attmean", layers=range(layers)), dense)
    assert np.allclose(trace.scores("attmean"), dense.mean(axis=0), atol=1e-7)


def test_step_t_scores_the_prompt_and_the_t_earlier_steps() -> None:
    assert causal_mask(2, 3).astype(int).tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
    ]


def test_scores_are_the_recorded_rows() -> None:
    trace = make_trace()
    scores = trace.scores("attmean")
    assert scores.shape == (trace.T, trace.n + trace.T)
    assert scores.dtype == np.float32
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert not scores[~causal_mask(trace.n, trace.T)].any()


def test_layers_are_chosen_by_name_and_in_order() -> None:
    trace = make_trace(layers=3)
    all_layers = trace.scores("attmean", layers=[0, 1, 2])
    assert np.array_equal(trace.scores("attmean", layers=[2, 0]), all_layers[[2, 0]])


def test_prompt_mean_replaces_the_first_row_only() -> None:
    trace = make_trace()
    query, mean = (trace.scores("attmean", first_step=s) for s in ("query", "prompt-mean"))
    first_row = trace.signals["attmean"].first_row
    assert first_row is not None
    assert np.array_equal(mean[0, : trace.n], first_row)
    assert np.array_equal(mean[1:], query[1:])


def test_reading_what_was_not_recorded_says_what_was() -> None:
    trace = make_trace()
    with pytest.raises(OmniTraceError, match="no signal 'attmaen': did you mean 'attmean'"):
        trace.scores("attmaen")
    with pytest.raises(OmniTraceError, match=r"layers \[7\] of 'attmean' were not recorded"):
        trace.scores("attmean", layers=[7])
    with pytest.raises(OmniTraceError, match=r"layers \[7\] .*layers \[0, 1\] were"):
        make_trace(layers=2).scores("attmean", layers=[7])
    bare = make_trace(signals={"attmean": SignalRows(trace.signals["attmean"].values)})
    with pytest.raises(OmniTraceError, match="prompt-mean row of 'attmean' was not recorded"):
        bare.scores("attmean", first_step="prompt-mean")
    assert bare.scores("attmean").shape == (trace.T, trace.n + trace.T)
