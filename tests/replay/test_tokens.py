"""Filters of tokens equal plain loops, and leave the tokens of media alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.arrays import Bool
from omnitrace.errors import CommandError
from omnitrace.timeline import Modality
from omnitrace.trace import Trace
from omnitrace.units import UnitConfig
from replay import PRESETS, Replayer
from replay.config import TokenConfig
from replay.mass import ANSWER, FILTERED, REQUEST, TEMPLATE, UNITS
from replay.rows import Rows
from replay.tokens import (
    heavy,
    held,
    less,
    markers,
    mean_scores,
    over,
    usual_scores,
    without,
    wordless,
)
from tests.build import make_trace
from tests.replay.test_mass import random_rows, seeds

PAPER = PRESETS["paper"]


def texted(*pieces: str) -> Trace:
    """A trace whose first text tokens are these pieces, of any length."""
    trace = make_trace()
    line, chars, text = trace.timeline, trace.timeline.chars.copy(), ""
    at = 0
    for token in np.flatnonzero(line.modality == Modality.TEXT).tolist():
        piece = pieces[at] if at < len(pieces) else "word"
        chars[token] = len(text), len(text) + len(piece)
        text, at = text + piece, at + 1
    return replace(trace, prompt_text=text, timeline=replace(line, chars=chars))


def of_text(trace: Trace, found: Bool) -> list[bool]:
    chosen: list[bool] = found[trace.timeline.modality == Modality.TEXT].tolist()
    return chosen


def test_wordless_tokens_hold_no_letter_or_digit_of_any_script() -> None:
    pieces = [" ", ",\n", "”", " -- ", "🙂", "é", "的", "٣", "7", "ü.", ""]
    found = wordless(texted(*pieces))
    assert of_text(texted(*pieces), found)[: len(pieces)] == [True] * 5 + [False] * 6


def test_tokens_of_media_and_of_the_template_are_never_wordless() -> None:
    trace = texted(*[","] * 20)
    assert not wordless(trace)[trace.timeline.modality != Modality.TEXT].any()


def test_markers_are_whole_tokens_in_brackets_and_special_tokens() -> None:
    pieces = ["<|im_end|>", "<end_of_turn>", "[INST]", "</s>", "<", "a<b>c", "[1]", "[see", "< b >"]
    trace = texted(*pieces)
    found = markers(trace)
    assert of_text(trace, found)[: len(pieces)] == [True] * 4 + [False] * 5
    assert found[trace.timeline.modality == Modality.SPECIAL].all()


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 9.0]), min_size=1, max_size=12),
    st.integers(0, 5),
    st.sampled_from([0.0, 1.5, 4.0]),
    seeds,
)
def test_heavy_tokens_are_the_first_of_a_sorted_list(
    usual: list[float], heaviest: int, outliers: float, seed: int
) -> None:
    among = np.random.default_rng(seed).random(len(usual)) < 0.7
    places = [i for i in range(len(usual)) if among[i] and usual[i] > 0]
    expected = set(sorted(places, key=lambda i: (-usual[i], i))[:heaviest])
    if outliers and places:
        middle = np.median([usual[i] for i in places])
        expected |= {i for i in places if usual[i] > outliers * middle}
    found = heavy(np.array(usual, np.float32), among, heaviest, outliers)
    assert set(np.flatnonzero(found).tolist()) == expected


@given(st.integers(1, 9), st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.5, 1.0]), seeds)
def test_rows_are_changed_as_a_loop_does(n: int, steps: int, quantile: float, seed: int) -> None:
    rows = random_rows(n, steps, seed)
    dense, dropped = rows.dense(), np.random.default_rng(seed).random(n) < 0.4
    prompt = dense[:, :n]
    assert np.allclose(mean_scores(rows), prompt.mean(axis=0), atol=1e-6)
    lowest = [sorted(column)[int(quantile * (steps - 1))] for column in prompt.T.tolist()]
    usual = usual_scores(rows, quantile)
    assert usual.tolist() == lowest
    kept = without(rows, dropped).dense()
    assert np.array_equal(kept[:, :n], np.where(dropped, 0, prompt))
    assert np.array_equal(kept[:, n:], dense[:, n:])
    assert np.allclose(held(rows, dropped), prompt[:, dropped].sum(axis=1))
    taken = less(rows, usual).dense()
    assert np.array_equal(taken[:, :n], np.maximum(prompt - usual, 0))
    assert np.array_equal(taken[:, n:], dense[:, n:])
    times = over(rows, usual.astype(np.float64)).dense()[:, :n]
    expected = [[x / u if u else 0 for x, u in zip(row, lowest, strict=True)] for row in prompt]
    assert np.allclose(times, expected, rtol=1e-5)


def test_rows_without_a_filter_are_not_copied() -> None:
    rows = random_rows(4, 3, 0)
    assert without(rows, np.zeros(4, np.bool_)) is rows


def test_an_empty_response_has_no_usual_scores() -> None:
    rows = Rows(np.empty(0, np.float32), 3, 0)
    assert usual_scores(rows, 0.5).tolist() == mean_scores(rows).tolist() == [0, 0, 0]


def test_a_token_that_every_step_looks_at_is_dropped_before_evidence() -> None:
    # Token 1 gets 0.2 at each step; token 3 gets more, at one step alone.
    scores = np.array([[0.1, 0.2, 0.1, 0.6, 0], [0.1, 0.2, 0.1, 0.0, 0.6]], np.float32)
    usual = usual_scores(Rows.of_dense(np.pad(scores, ((0, 0), (0, 1)))[:, :6]), 0.1)
    assert heavy(usual[:4], np.ones(4, np.bool_), 1, 0).tolist() == [False, True, False, False]


def test_dropped_tokens_carry_no_mass_and_are_reported() -> None:
    trace = make_trace()
    for tokens in (TokenConfig(wordless="drop"), TokenConfig(heaviest=3), TokenConfig(outliers=2)):
        config = replace(PAPER, tokens=tokens)
        found = Replayer(trace).attribute(config)
        rows = trace.scores("attmean")[:, : trace.n]
        owner = found.units.owner_of_tokens(trace.n)
        kept = np.where(found.dropped, 0, rows)
        expected = np.stack([kept[:, owner == u].sum(axis=1) for u in range(len(found.units))], 1)
        assert np.allclose(found.mass, expected, atol=1e-6)
        assert not found.dropped[owner < 0].any()
    assert found.dropped.any()


def test_the_places_of_the_scores_are_sums_over_tokens() -> None:
    trace, tokens = make_trace(), TokenConfig(heaviest=2)
    for request in ("keep", "unnamed", "leave-out"):
        config = replace(PAPER, tokens=tokens, units=UnitConfig(request=request))
        found = Replayer(trace).attribute(config)
        dense, owner = trace.scores("attmean"), found.units.owner_of_tokens(trace.n)
        named = Replayer(trace).units(UnitConfig(request="unnamed"))
        asks = np.append(named.unnamed, False)[named.owner_of_tokens(trace.n)]
        asks &= request != "keep"
        inside = (owner >= 0) & ~asks & ~found.dropped
        prompt = dense[:, : trace.n]
        expected = {
            UNITS: prompt[:, inside].sum(axis=1),
            REQUEST: prompt[:, asks & ~found.dropped].sum(axis=1),
            TEMPLATE: prompt[:, (owner < 0) & ~asks].sum(axis=1),
            FILTERED: prompt[:, found.dropped].sum(axis=1),
            ANSWER: dense[:, trace.n :].sum(axis=1),
        }
        assert expected[REQUEST].any() == (request != "keep")
        for place, share in expected.items():
            assert np.allclose(found.places[:, place], share / dense.sum(axis=1), atol=1e-6)
        where = found.where()
        assert sum(where.values()) == pytest.approx(1)
        prompt_share = 1 - where["answer"]
        assert found.sinks == pytest.approx((where["template"] + where["filtered"]) / prompt_share)


def test_activation_drops_massive_tokens_and_says_where_it_was_not_recorded() -> None:
    trace = make_trace()
    config = replace(PAPER, tokens=TokenConfig(activation=3.0))
    with pytest.raises(CommandError, match="activation of its prompt tokens was not recorded"):
        Replayer(trace).attribute(config)
    massive = np.ones(trace.n, np.float32)
    massive[[0, 4, 5]] = 300, 4, 3
    found = Replayer(replace(trace, arrays={"activation": massive})).attribute(config)
    assert np.flatnonzero(found.dropped).tolist() == [4]  # token 0 is in no unit
