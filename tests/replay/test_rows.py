"""Rows of chosen layers and heads equal plain sums over what was recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.errors import CommandError
from omnitrace.trace import SignalRows, Trace
from omnitrace.units import UnitConfig
from replay import PRESETS, ReplayConfig, Replayer
from replay.mass import is_recorded, merged_units
from replay.rows import head_weights, layer_weights, rows_of
from tests.build import make_trace

ATTENTION = replace(PRESETS["paper"], signal="attention")
LAYERS, HEADS = 3, 2


def layered(seed: int = 0, signed: bool = False) -> Trace:
    """A trace with signal `attention` of three layers, signed if asked."""
    made = make_trace(layers=LAYERS, seed=seed).signals["attmean"]
    values = made.values - np.float32(0.05 * signed)
    return make_trace(signals={"attention": SignalRows(values, made.layers)})


def with_queries(**over: Any) -> Trace:
    """A trace at level `qk`: three layers, two heads in one group."""
    trace, rng = make_trace(**over), np.random.default_rng(3)
    arrays = {
        "queries": rng.normal(size=(LAYERS, HEADS, trace.T, 4)).astype(np.float32),
        "keys": rng.normal(size=(LAYERS, 1, trace.n + trace.T - 1, 4)).astype(np.float32),
        "scaling": np.full(LAYERS, 0.5),
        "windows": np.zeros(LAYERS, np.int32),
    }
    return replace(trace, arrays=arrays)


def with_heads(trace: Trace, units: UnitConfig) -> Trace:
    """The same attention at level `heads`: pooled to `units`."""
    cut, inner = trace.units(units), trace.queries_and_keys()
    owner = cut.owner_of_tokens(trace.n)
    pooled = np.zeros((LAYERS, HEADS, trace.T, len(cut)), np.float32)
    for layer in range(LAYERS):
        for unit in range(len(cut)):
            pooled[layer, ..., unit] = inner.rows(layer)[..., : trace.n][..., owner == unit].sum(-1)
    return replace(trace, arrays={"heads": pooled, "heads_unit": owner})


def test_recorded_rows_are_read_without_a_copy() -> None:
    trace = make_trace()
    rows = rows_of(trace, PRESETS["paper"])
    assert rows.values is trace.signals["attmean"].values
    assert np.array_equal(rows.dense(), trace.scores("attmean"))
    first = rows_of(trace, PRESETS["release"])
    assert np.array_equal(first.dense(), trace.scores("attmean", first_step="prompt-mean"))


@given(
    st.dictionaries(
        st.integers(0, LAYERS - 1), st.sampled_from([-0.5, 0.25, 1.0, 3.0]), min_size=1
    ),
    st.booleans(),
)
def test_chosen_layers_are_averaged_and_clamped(weights: dict[int, float], signed: bool) -> None:
    trace = layered(signed=signed)
    config = replace(ATTENTION, layers=",".join(f"{n}:{w}" for n, w in weights.items()))
    total = sum(abs(w) for w in weights.values())
    by_layer = trace.scores("attention", layers=range(LAYERS)).astype(float)
    expected = sum(w / total * by_layer[n] for n, w in weights.items())
    assert np.allclose(rows_of(trace, config).dense(), np.maximum(expected, 0), atol=1e-6)


def test_no_choice_is_all_layers_alike_and_clamped_after_the_mean() -> None:
    trace = layered(signed=True)
    mean = trace.scores("attention", layers=range(LAYERS)).mean(axis=0)
    assert (mean < 0).any()
    for layers in ("", "0,1,2", "2:5,1:5,0:5"):
        found = rows_of(trace, replace(ATTENTION, layers=layers)).dense()
        assert np.allclose(found, mean.clip(0), atol=1e-7)


def test_heads_of_queries_and_keys() -> None:
    trace = with_queries()
    inner = trace.queries_and_keys()
    found = rows_of(trace, replace(ATTENTION, heads="2.1:3, 0.0")).dense()
    assert np.allclose(found, 0.75 * inner.rows(2)[1] + 0.25 * inner.rows(0)[0], atol=1e-6)
    layer = rows_of(trace, replace(ATTENTION, layers="1")).dense()
    assert np.allclose(layer, inner.rows(1).mean(axis=0), atol=1e-6)
    every = rows_of(trace, ATTENTION).dense()
    rows = np.stack([inner.rows(layer) for layer in range(LAYERS)])
    assert np.allclose(every, rows.mean(axis=(0, 1)), atol=1e-6)


@pytest.mark.parametrize("layers", ["", "0:3,2"])
def test_pooled_attention_without_a_choice_of_heads_is_all_of_them(layers: str) -> None:
    trace = with_queries()
    config = replace(ATTENTION, layers=layers)
    found = Replayer(with_heads(trace, UnitConfig())).mass(config)
    assert np.allclose(found, Replayer(trace).mass(config), atol=1e-5)


@pytest.mark.parametrize("reduce", ["sum", "mean", "uniform", "lift", "surplus"])
@pytest.mark.parametrize(
    "units",
    [
        UnitConfig(),
        UnitConfig(text="part"),
        UnitConfig(audio_seconds=2.0, video_seconds=2.0, request="leave-out"),
    ],
    ids=["recorded", "parts", "longer bins"],
)
def test_pooled_heads_give_the_masses_that_their_rows_give(reduce: str, units: UnitConfig) -> None:
    trace = with_queries()
    pooled = with_heads(trace, UnitConfig())
    config = replace(ATTENTION, heads="0.1,2.0:0.5", reduce=reduce, units=units)
    expected, found = (Replayer(each).mass(config) for each in (trace, pooled))
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-5)


def test_units_that_cut_pooled_ones_apart_are_refused() -> None:
    trace = with_heads(with_queries(), UnitConfig())
    assert merged_units(trace, trace.units(UnitConfig(text="part"))).tolist() == [
        0, 0, 1, 2, 3, 4, 5, 6, 7,
    ]  # fmt: skip
    for units in (UnitConfig(image="grid"), UnitConfig(audio_seconds=0.5)):
        with pytest.raises(CommandError, match="pooled to units when they were recorded, and"):
            merged_units(trace, trace.units(units))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": "0"}, r"layers \[0\] of 'attmean' were not recorded"),
        ({"layers": "1,1"}, "layers = '1,1' names one of them twice"),
        ({"layers": "1:0"}, "layers = '1:0' weighs nothing"),
        ({"heads": "0.0"}, "heads are the attention's, not attmean's; set signal = \"attention\""),
        ({"signal": "attention", "layers": "9"}, r"'sample-0' has no heads 9.0, 9.1; legal: layer"),
        ({"signal": "attention", "heads": "0.2"}, "no heads 0.2; legal: layers 0 to 2, each with"),
        ({"signal": "attention", "heads": "0.1", "layers": "1"}, "cannot both be chosen"),
        ({"signal": "attention", "heads": "0.1", "first_step": "prompt-mean"}, "no head has a pro"),
    ],
)
def test_what_cannot_be_chosen_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        Replayer(with_queries()).mass(replace(PRESETS["paper"], **changes))


@pytest.mark.parametrize("changes", [{"reduce": "max"}, {"indirect": 0.5}])
def test_pooled_heads_know_no_single_token_and_no_earlier_step(changes: dict[str, Any]) -> None:
    config = replace(ATTENTION, heads="0.1", **changes)
    with pytest.raises(CommandError, match="record with --level qk"):
        Replayer(with_heads(with_queries(), UnitConfig())).mass(config)


def test_heads_that_were_not_recorded_are_named_by_level() -> None:
    with pytest.raises(CommandError, match="record it again with --level heads"):
        Replayer(make_trace()).mass(replace(ATTENTION, heads="0.1"))
    with pytest.raises(CommandError, match="no signal 'attention'"):
        Replayer(make_trace()).mass(replace(ATTENTION, layers="1"))


def test_weights_of_layers_and_heads() -> None:
    assert layer_weights("20:0.7, 21:-.3,22") == {20: 0.7, 21: -0.3, 22: 1.0}
    assert head_weights("3.0,4.2:0.5") == {(3, 0): 1.0, (4, 2): 0.5}


def test_masses_are_kept_apart_by_all_that_they_depend_on() -> None:
    replayer = Replayer(with_queries())
    base = ReplayConfig(signal="attention", heads="0.1")
    settings = [base, replace(base, heads="1.1"), replace(base, indirect=0.5)]
    found = [replayer.mass(config) for config in settings]
    assert not any(np.array_equal(found[0], other) for other in found[1:])
    assert replayer.mass(base) is found[0]


RECORDED = {
    "plain": make_trace(),
    "no first row": replace(
        make_trace(), signals={"rawatt": SignalRows(make_trace().signals["rawatt"].values)}
    ),
    "layers": make_trace(layers=LAYERS),
    "attention by layer": layered(),
    "queries and keys": with_queries(),
    "heads": with_heads(with_queries(), UnitConfig()),
}


@given(
    st.sampled_from(sorted(RECORDED)),
    st.fixed_dictionaries(
        {
            "signal": st.sampled_from(["attmean", "rawatt", "attention"]),
            "layers": st.sampled_from(["", "1"]),
            "heads": st.sampled_from(["", "0.1"]),
            "first_step": st.sampled_from(["query", "prompt-mean"]),
            "reduce": st.sampled_from(["sum", "max", "lift"]),
            "indirect": st.sampled_from([0.0, 0.5]),
        }
    ),
)
def test_what_is_recorded_is_what_can_be_read(name: str, values: dict[str, Any]) -> None:
    trace, config = RECORDED[name], ReplayConfig(**values)
    try:
        Replayer(trace).mass(config)
        read = True
    except CommandError:
        read = False
    assert is_recorded(trace, config) == read
