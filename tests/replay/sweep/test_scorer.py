"""A sweep counts what `attribute` and `evaluate` do, one configuration at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.units import UnitConfig
from replay import PRESETS, ReplayConfig, Replayer, attribute
from replay.config import ReliabilityConfig, TokenConfig
from replay.evaluation.gold import Gold, steps_of_sentences
from replay.evaluation.scores import judge
from replay.evaluation.space import judging_space
from replay.sweep.scorer import Scorer, grouped
from tests.build import make_trace
from tests.replay.sweep.golds import random_gold
from tests.replay.test_attribution import empty, thinking_trace, traced_to
from tests.replay.test_curate import configs as curations

mappings = st.sampled_from(
    [
        *PRESETS.values(),
        replace(PRESETS["paper"], reduce="lift", competition="per-modality"),
        replace(PRESETS["paper"], signal="rawatt", chunker="response"),
        replace(PRESETS["paper"], chunker="window", window=5, units=UnitConfig(video="apart")),
        replace(PRESETS["paper"], units=UnitConfig(request="unnamed")),
        replace(PRESETS["paper"], units=UnitConfig(image="grid", audio_seconds=0.5, text="part")),
        replace(PRESETS["release"], chunker="clause"),
        replace(PRESETS["paper"], units=UnitConfig(request="unnamed", text="clause")),
        replace(PRESETS["paper"], tokens=TokenConfig(heaviest=3, baseline="usual", quantile=0.5)),
        replace(PRESETS["paper"], naming="mass"),
        replace(PRESETS["release"], naming="mass", tokens=TokenConfig(wordless="drop")),
        replace(PRESETS["default"], naming="mass", competition="per-modality"),
        replace(PRESETS["default"], reliability=ReliabilityConfig(nameable=0.35)),
    ]
)
parts = st.sampled_from(["all", "answer", "thinking"])
several = st.lists(
    st.builds(
        lambda mapped, curation, part: replace(mapped, curation=curation, response=part),
        mappings,
        curations,
        parts,
    ),
    min_size=1,
    max_size=4,
)


@given(several, st.integers(0, 1000))
def test_tallies_are_those_of_one_configuration_at_a_time(
    chosen: list[ReplayConfig], seed: int
) -> None:
    trace, gold = make_trace(seed=seed), random_gold(seed)
    found = Scorer(chosen).tallies(Replayer(trace), gold)
    expected = np.array([judge(attribute(trace, config), gold).tally for config in chosen])
    assert np.array_equal(found[..., :4], expected[..., :4])
    assert np.allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_tallies_of_thinking_and_answer_are_those_of_one_at_a_time(seed: int) -> None:
    trace, gold = thinking_trace(seed), random_gold(seed)
    chosen = [
        replace(PRESETS[name], response=part, chunker=chunker, window=5)
        for name in PRESETS
        for part in ("all", "answer", "thinking")
        for chunker in ("sentence", "window", "response")
    ]
    found = Scorer(chosen).tallies(Replayer(trace), gold)
    expected = np.array([judge(attribute(trace, config), gold).tally for config in chosen])
    assert np.array_equal(found[..., :4], expected[..., :4])
    assert np.allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("naming", ["votes", "mass"])
def test_spans_that_the_request_would_take_are_mapped_again(naming: str) -> None:
    trace, gold = traced_to([27] * 16), random_gold(0)
    config = replace(PRESETS["paper"], naming=naming, units=UnitConfig(request="remap"))
    chosen = [replace(config, curation=replace(config.curation, p_min=p)) for p in (0.0, 0.3)]
    found = Scorer(chosen).tallies(Replayer(trace), gold)
    expected = [judge(attribute(trace, one), gold).tally for one in chosen]
    assert np.allclose(found, expected, rtol=1e-12)
    assert found[..., 1].any()


def test_the_part_of_the_response_is_no_part_of_curation() -> None:
    paper = PRESETS["paper"]
    chosen = [replace(paper, response=part) for part in ("all", "answer", "all")]
    assert grouped(chosen) == [[0, 2], [1]]


def test_slices_of_a_large_group_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [
        replace(PRESETS["paper"], curation=replace(PRESETS["paper"].curation, p_min=p / 40))
        for p in range(20)
    ]
    whole = Scorer(chosen).tallies(Replayer(make_trace()), random_gold(3))
    monkeypatch.setattr("replay.sweep.scorer.CONFIGS_AT_ONCE", 7)
    assert np.array_equal(Scorer(chosen).tallies(Replayer(make_trace()), random_gold(3)), whole)


def test_configurations_that_differ_in_curation_share_a_group() -> None:
    def curated(config: ReplayConfig, gamma: float) -> ReplayConfig:
        return replace(config, curation=replace(config.curation, gamma=gamma))

    other = replace(PRESETS["paper"], signal="rawatt")
    chosen: Sequence[ReplayConfig] = [
        curated(config, gamma) for gamma in (1.0, 2.0) for config in (PRESETS["paper"], other)
    ]
    assert grouped(chosen) == [[0, 2], [1, 3]]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("steps", [0, 1])
def test_without_units_or_steps_nothing_is_found(name: str, steps: int) -> None:
    trace = empty(3, steps)
    gold = Gold(
        id=trace.id,
        space=judging_space(trace),
        sentences=trace.sentences,
        steps=steps_of_sentences(trace),
        true=np.zeros((steps, 0), bool),
        judged=np.ones(steps, bool),
        scored=np.zeros(4, bool),
    )
    found = Scorer([PRESETS[name]]).tallies(Replayer(trace), gold)[0]
    assert np.array_equal(found, judge(attribute(trace, PRESETS[name]), gold).tally)
