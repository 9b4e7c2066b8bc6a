"""Comparisons: who names what, why it may be, and what all spans say together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omnitrace.errors import CommandError
from omnitrace.trace import SignalRows, Trace, pack_rows
from replay import PRESETS
from replay.methods import AttributionTask
from replay.methods.compare import compare, side, summary, to_json
from tests.replay.faithfulness.made import NO_REQUEST, ablated, needing


def attending(trace: Trace, shares: np.ndarray) -> Trace:
    """The trace with a signal of which each unit and earlier step gets `shares` (T, m + T)."""
    units = trace.units(NO_REQUEST.units)
    owner = units.owner_of_tokens(trace.n)
    m = len(units)
    tokens = np.bincount(owner[owner >= 0], minlength=m)
    scores = np.zeros((trace.T, trace.n + trace.T), np.float32)
    for unit in range(m):
        scores[:, np.flatnonzero(owner == unit)] = (shares[:, unit] / tokens[unit])[:, None]
    scores[:, trace.n :] = shares[:, m:]
    rows = SignalRows(pack_rows(scores, trace.n))
    return replace(trace, signals={"attmean": rows})


def task(shares: np.ndarray, needed: int = 1) -> AttributionTask:
    asked = ablated(needing(needed, weight=8.0))
    return replace(asked, trace=attending(asked.trace, shares))


def shares_of(trace: Trace) -> np.ndarray:
    return np.zeros((trace.T, len(trace.units(NO_REQUEST.units)) + trace.T))


def test_two_that_agree_have_no_disagreements() -> None:
    shares = shares_of(ablated().trace)
    shares[:, 1] = 1.0
    asked = task(shares)
    for span in compare(asked, asked, ("signal", "loo")):
        assert (span.both, span.disagreements, span.overlap) == ((1,), (), 1.0)


def test_a_preset_beside_another_has_its_units_and_spans() -> None:
    base = replace(PRESETS["paper"], response="answer", chunker="window", window=3)
    other = side("release", base).config
    assert (other.response, other.chunker, other.window) == ("answer", "window", 3)
    assert other.units == base.units
    assert other.reduce == PRESETS["release"].reduce


def test_a_sink_that_is_long_is_called_so() -> None:
    shares = shares_of(ablated().trace)
    tokens = ablated().recorded.tokens
    long = int(np.argmax(tokens))
    shares[:, long] = 1.0
    asked = task(shares, needed=1)
    assert long != 1
    for span in compare(asked, asked, ("signal", "loo")):
        assert span.overlap == 0
        first, second = sorted(span.disagreements, key=lambda one: one.side)
        assert (first.unit, first.side, first.share_a) == (long, "a", 1.0)
        assert "sink" in first.reasons
        assert (second.unit, second.side) == (1, "b")
        assert second.share_b > 0.99
    total = summary(compare(asked, asked, ("signal", "loo")))
    assert total["only_a"] == total["only_b"] == total["spans"] == 3
    assert total["reasons"]["sink"] == {"a": 3, "b": 0}
    assert total["overlap"] == 0


def test_a_cause_behind_the_answer_is_indirect() -> None:
    trace = ablated().trace
    shares = shares_of(trace)
    shares[:, 2] = 1.0  # all steps look at a picture,
    first = ablated().spans[0].steps[1]
    shares[:first, 2], shares[:first, 1] = 0.0, 1.0  # but the first sentence at the sentence,
    m = len(ablated().units)
    shares[first:, m], shares[first:, 2] = 0.6, 0.4  # from which the others take their word.
    asked = task(shares)
    later = compare(asked, asked, ("signal", "loo"))[-1]
    [missed] = [one for one in later.disagreements if one.side == "b"]
    assert missed.unit == 1
    assert "indirect" in missed.reasons


def test_json_names_units() -> None:
    shares = shares_of(ablated().trace)
    shares[:, 0] = 1.0
    asked = task(shares)
    found = to_json(asked, compare(asked, asked, ("signal", "loo")))
    assert found["id"] == asked.trace.id
    assert found["spans"][0]["both"] == []
    names = {one["unit"] for one in found["spans"][0]["partings"]}
    assert names == {asked.units.id[0], asked.units.id[1]}


def test_sides_are_methods_or_presets_with_the_same_units() -> None:
    assert side("loo", NO_REQUEST).config == NO_REQUEST
    release = side("release", NO_REQUEST)
    assert (release.method, release.config.reduce) == ("signal", PRESETS["release"].reduce)
    assert release.config.units == NO_REQUEST.units
    with pytest.raises(CommandError, match="did you mean 'release'"):
        side("relase", NO_REQUEST)
