"""Every legal configuration attributes every trace, or says in a sentence why it cannot."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from omnitrace.config import build
from omnitrace.errors import CommandError
from omnitrace.trace import Trace
from replay import ReplayConfig, attribute
from replay.chunk import thinking_steps
from tests.build import make_rows, make_trace
from tests.replay.test_rows import with_queries


def legal(config: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Values of some of the fields, from their own metadata."""
    values = {field.name: _values(field, getattr(config, field.name)) for field in _fields(config)}
    return st.fixed_dictionaries({}, optional=values)


def _fields(config: Any) -> list[dataclasses.Field[Any]]:
    free = ("tags", "audio_segments", "file", "pos_weights")
    return [field for field in dataclasses.fields(config) if field.name not in free]


def _values(field: dataclasses.Field[Any], value: Any) -> st.SearchStrategy[Any]:
    if dataclasses.is_dataclass(value):
        return legal(value)
    if field.metadata["choices"]:
        return st.sampled_from(field.metadata["choices"])
    if field.metadata["bounds"]:
        low, high, step = field.metadata["bounds"]
        between = st.sampled_from([low, min(low + step, high), min(low + 3 * step, high), high])
        return between.map(type(value))
    chosen = {"signal": ["attmean", "rawatt", "attention"], "layers": ["", "0", "1:0.5,2"]}
    return st.sampled_from(chosen.get(field.name, ["", "0.1", "0.0,2.1:-2"]))


def silent() -> Trace:
    """A trace without a step."""
    none = np.zeros(0, np.float32)
    rows = make_rows(np.random.default_rng(0), make_trace().n, 0)
    return make_trace(
        response="",
        response_ids=np.zeros(0, np.int32),
        chars=np.zeros((0, 2), np.int32),
        logprob=none,
        entropy=none,
        pos=(),
        sentences=np.zeros((0, 2), np.int32),
        signals={"attmean": rows, "rawatt": rows},
    )


TRACES = {
    "plain": make_trace(),
    "layers": make_trace(layers=3),
    "qk": with_queries(),
    "T = 0": silent(),
    "thinking": make_trace(meta={"thinking": [0, 27]}),
}


@settings(max_examples=200)
@given(st.sampled_from(sorted(TRACES)), legal(ReplayConfig()))
def test_every_choice_attributes_or_says_why_not(name: str, values: dict[str, Any]) -> None:
    trace = TRACES[name]
    config = build(ReplayConfig(), values, "drawn")
    try:
        found = attribute(trace, config)
    except CommandError:
        event("refused")
        return
    assert found.mass.shape == (trace.T, len(found.units))
    assert np.isfinite(found.mass).all()
    assert (found.mass >= 0).all()
    inside = thinking_steps(trace)
    chosen = {"all": inside | ~inside, "answer": ~inside, "thinking": inside}[config.response]
    covered = [step for span in found.spans for step in range(*span.steps)]
    assert covered == np.flatnonzero(chosen).tolist()
    assert not found.vote[~chosen].any()
    for span in found.spans:
        named = [source.unit for source in span.sources]
        assert len(set(named)) == len(named)
        assert not found.units.unnamed[named].any()
