"""Scores of single prompt tokens and layers, read step by step, are those that replay reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omnitrace import SignalRows
from replay import ReplayConfig, attribute
from replay.rows import rows_of
from tests.build import make_trace
from tui.trace.response import traced, words
from tui.trace.step_detail import StepReader, tokens_of, top_tokens

LAYERED = make_trace(layers=3)


@pytest.mark.parametrize("config", [
    ReplayConfig(signal="attmean"),
    ReplayConfig(signal="rawatt", first_step="prompt-mean"),
    ReplayConfig(signal="attmean", layers="0,2"),
    ReplayConfig(signal="attmean", layers="0:0.5,1:-1"),
])  # fmt: skip
def test_a_row_is_the_one_that_replay_reads(config: ReplayConfig) -> None:
    whole = rows_of(LAYERED, config).dense()
    reader = StepReader(LAYERED)
    for step in range(LAYERED.T):
        row = reader.row(config, (step, step + 1))
        assert row == pytest.approx(whole[step, : LAYERED.n], abs=1e-6)
    assert reader.row(config, (2, 6)) == pytest.approx(whole[2:6, : LAYERED.n].mean(axis=0))


def test_the_strongest_tokens_come_first() -> None:
    detail = StepReader(LAYERED).read(attribute(LAYERED, ReplayConfig(signal="attmean")), (3, 4))
    scores = [score for _, score in detail.top]
    assert scores == sorted(detail.row.tolist(), reverse=True)[: len(scores)]
    assert len(top_tokens(detail.row, 10**6)) == LAYERED.n


def test_what_was_read_lately_is_known_and_no_more() -> None:
    reader, config = StepReader(LAYERED), ReplayConfig(signal="attmean")
    attribution = attribute(LAYERED, config)
    assert reader.cached(attribution, (3, 4)) is None
    detail = reader.read(attribution, (3, 4))
    votes = replace(config, curation=replace(config.curation, p_min=0.3))
    assert reader.cached(attribute(LAYERED, votes), (3, 4)) is detail
    assert reader.cached(attribute(LAYERED, replace(config, layers="1")), (3, 4)) is None
    for end in range(5, 13):
        reader.read(attribution, (4, end))
    assert reader.cached(attribution, (3, 4)) is None
    assert reader.cached(attribution, (4, 12)) is not None


def test_a_profile_is_the_mass_of_the_unit_by_layer() -> None:
    attribution = attribute(LAYERED, ReplayConfig(signal="attmean"))
    profile = StepReader(LAYERED).read(attribution, (3, 4)).profile
    assert profile is not None
    assert profile.layers == (0, 1, 2)
    unit = int(attribution.unit[3])
    scores = LAYERED.scores("attmean", layers=[0, 1, 2])[:, 3]
    expected = scores[:, tokens_of(attribution.units, unit)].sum(axis=1)
    assert profile.mass == pytest.approx(expected, abs=1e-6)


def test_without_layers_there_is_no_profile() -> None:
    trace = make_trace()
    attribution = attribute(trace, ReplayConfig(signal="attmean"))
    assert StepReader(trace).read(attribution, (0, 1)).profile is None


def test_a_profile_of_another_signal_stands_in() -> None:
    flat = make_trace().signals["attmean"]
    trace = replace(LAYERED, signals={"attmean": flat, "attention": LAYERED.signals["attmean"]})
    attribution = attribute(trace, ReplayConfig(signal="attmean"))
    profile = StepReader(trace).read(attribution, (3, 4)).profile
    assert profile is not None
    assert profile.what == "attention"
    assert isinstance(flat, SignalRows)


def test_words_begin_at_white_space() -> None:
    text = "The par cel,\nand"
    pieces = ["The", " par", " ", "cel", ",", "\n", "and"]
    ends = np.cumsum([len(p) for p in pieces]).astype(np.int32)
    chars = np.stack([ends - [len(p) for p in pieces], ends], axis=1).astype(np.int32)
    assert words(text, chars).tolist() == [0, 1, 2, 3, 3, 4, 5]
    assert words("", np.zeros((0, 2), np.int32)).tolist() == []


def test_a_group_is_traced_to_the_unit_with_the_most_of_its_mass() -> None:
    attribution = attribute(make_trace(), ReplayConfig(signal="attmean"))
    group = (np.arange(len(attribution.unit)) // 4).astype(np.int32)
    unit, confidence = traced(attribution, group)
    for g in range(4):
        mass = attribution.mass[group == g].sum(axis=0)
        assert (unit[group == g] == mass.argmax()).all()
        expected = mass.max() / (group == g).sum()
        assert confidence[group == g] == pytest.approx(expected)
    same, sure = traced(attribution, np.arange(len(attribution.unit), dtype=np.int32))
    assert np.array_equal(same, attribution.unit)
    assert np.array_equal(sure, attribution.confidence)
