"""Masses and the mapping equal plain loops over the paper's equations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.timeline import Medium
from omnitrace.units import UnitConfig, Units
from replay import ReplayConfig, Replayer
from replay.mapping import best_unit, candidate_groups
from replay.mass import mass
from replay.reduce import REDUCES, Reduce
from replay.rows import Rows
from tests.build import make_rows, make_trace


def make_units(owner: list[int]) -> Units:
    """Units over len(owner) tokens, numbered by first token; -1 for a token in none."""
    order = list(dict.fromkeys(unit for unit in owner if unit >= 0))
    ranges: list[list[int]] = []
    offset = [0]
    for unit in order:
        for token, own in enumerate(owner):
            if own != unit:
                continue
            if len(ranges) > offset[-1] and ranges[-1][1] == token:
                ranges[-1][1] += 1
            else:
                ranges.append([token, token + 1])
        offset.append(len(ranges))
    m = len(order)
    return Units(
        id=tuple(f"text-{j}" for j in range(m)),
        label=tuple(f"text {j + 1}" for j in range(m)),
        text=(None,) * m,
        modality=np.zeros(m, np.uint8),
        medium=np.full(m, -1, np.int32),
        start_s=np.full(m, np.nan),
        end_s=np.full(m, np.nan),
        box=np.full((m, 4), np.nan),
        unnamed=np.zeros(m, np.bool_),
        ranges=np.array(ranges, np.int32).reshape(-1, 2),
        offset=np.array(offset, np.int32),
    )


owners = st.lists(st.integers(-1, 3), max_size=12)
seeds = st.integers(0, 2**32 - 1)
PLAIN: dict[str, Callable[[Any, float, int], Any]] = {
    "sum": lambda tokens, usual, width: sum(tokens),
    "max": lambda tokens, usual, width: max(tokens),
    "mean": lambda tokens, usual, width: sum(tokens) / len(tokens),
    "uniform": lambda tokens, usual, width: sum(tokens) / (len(tokens) / width),
    "lift": lambda tokens, usual, width: sum(tokens) / usual if usual else 0.0,
    "surplus": lambda tokens, usual, width: max(0.0, sum(tokens) - usual),
}


def random_rows(n: int, steps: int, seed: int) -> Rows:
    """Rows that do not sum to 1, some scores 0."""
    scores = np.random.default_rng(seed).random((steps, n + steps), np.float32)
    return Rows.of_dense(np.where(scores < 0.2, 0, scores).astype(np.float32))


def stochastic_rows(n: int, steps: int, seed: int) -> Rows:
    """Rows that sum to 1."""
    return Rows(make_rows(np.random.default_rng(seed), n, steps).values, n, steps)


def plain_mass(scores: Any, owner: list[int], reduce: str) -> list[list[float]]:
    """The formulae of `mass`, a loop a sum; `scores` (T, n+T)."""
    columns = [
        [i for i, own in enumerate(owner) if own == u] for u in dict.fromkeys(owner) if u >= 0
    ]
    sums = [[sum(float(row[i]) for i in tokens) for tokens in columns] for row in scores]
    usual = [sum(row[j] for row in sums) / max(1, len(sums)) for j in range(len(columns))]
    return [
        [
            PLAIN[reduce]([float(row[i]) for i in tokens], usual[j], len(owner) + t)
            for j, tokens in enumerate(columns)
        ]
        for t, row in enumerate(scores)
    ]


def plain_rollout(scores: Any, n: int, weight: float) -> list[list[float]]:
    """Token scores with what came by way of earlier steps, loop by loop; (T, n)."""
    found: list[list[float]] = []
    for t, row in enumerate(scores.tolist()):
        direct = list(row[:n])
        for s in range(t):
            whole = sum(scores[s].tolist())
            for i in range(n):
                direct[i] += weight * row[n + s] * (found[s][i] / whole if whole else 0.0)
        found.append(direct)
    return found


@given(owners, st.integers(0, 4), st.sampled_from(sorted(PLAIN)), seeds)
def test_mass_equals_a_plain_loop(owner: list[int], steps: int, reduce: str, seed: int) -> None:
    rows, units = random_rows(len(owner), steps, seed), make_units(owner)
    got = mass(rows, units, reduce)
    assert got.shape == (steps, len(units))
    assert got.dtype == np.float32
    expected = np.array(plain_mass(rows.dense(), owner, reduce)).reshape(got.shape)
    assert np.allclose(got, expected, atol=1e-6)


@given(
    owners,
    st.integers(1, 5),
    st.sampled_from(sorted(PLAIN)),
    st.sampled_from([0.3, 1.0]),
    seeds,
)
def test_indirect_mass_equals_a_plain_loop(
    owner: list[int], steps: int, reduce: str, weight: float, seed: int
) -> None:
    rows, units = random_rows(len(owner), steps, seed), make_units(owner)
    got = mass(rows, units, reduce, weight)
    total = plain_rollout(rows.dense(), len(owner), weight)
    expected = np.array(plain_mass(total, owner, reduce)).reshape(got.shape)
    assert np.allclose(got, expected, rtol=1e-4, atol=1e-5)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 8), seeds)
def test_all_indirect_mass_of_a_partition_is_the_rows_sum(
    owner: list[int], steps: int, seed: int
) -> None:
    units = make_units(owner)
    whole = mass(stochastic_rows(len(owner), steps, seed), units, "sum", 1.0)
    assert np.allclose(whole.sum(axis=1), 1, atol=1e-5)
    scale = np.random.default_rng(seed).uniform(0.1, 9, (steps, 1)).astype(np.float32)
    rows = Rows.of_dense(stochastic_rows(len(owner), steps, seed).dense() * scale)
    assert np.allclose(mass(rows, units, "sum", 1.0).sum(axis=1), scale[:, 0], rtol=1e-4)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 5))
def test_mass_of_a_partition_is_the_prompts_share(owner: list[int], steps: int) -> None:
    rows = stochastic_rows(len(owner), steps, 0)
    share = rows.dense()[:, : len(owner)].sum(axis=1)
    assert np.allclose(mass(rows, make_units(owner), "sum").sum(axis=1), share, atol=1e-6)
    assert share[0] == pytest.approx(1)


def test_even_attention_is_uniform_mass_of_one() -> None:
    rows = Rows(np.repeat([1 / 4, 1 / 5, 1 / 6], [4, 5, 6]).astype(np.float32), 4, 3)
    assert np.allclose(mass(rows, make_units([0, 0, 0, 1]), "uniform"), 1)


@given(st.integers(1, 40), st.integers(1, 40), seeds)
def test_rows_summed_block_by_block_are_the_same_to_the_bit(n: int, steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    units = make_units(rng.integers(-1, 5, n).tolist())
    rows = random_rows(n, steps, seed)
    whole = mass(rows, units, "sum")
    with patch("replay.mass.BLOCK_CELLS", 1):
        assert np.array_equal(mass(rows, units, "sum"), whole)


def test_lift_is_the_sum_over_its_mean() -> None:
    scores = np.array([[0.1, 0.1, 0.0, 0.4], [0.3, 0.1, 0.0, 0.2]], np.float32)
    rows = Rows.of_dense(np.pad(scores, ((0, 0), (0, 2))))
    # Sums 0.2, 0.4 (mean 0.3); 0, 0 (mean 0); 0.4, 0.2 (mean 0.3).
    units = make_units([0, 0, 1, 2])
    assert np.allclose(mass(rows, units, "lift"), [[2 / 3, 0, 4 / 3], [4 / 3, 0, 2 / 3]])
    assert np.allclose(mass(rows, units, "surplus"), [[0, 0, 0.1], [0.1, 0, 0]])


def test_generated_tokens_hold_no_units_mass() -> None:
    scores = np.array([[0.5, 0.5, 0, 0], [0.1, 0.1, 0.8, 0]], np.float32)
    rows, units = Rows.of_dense(scores), make_units([0, 1])
    assert np.allclose(mass(rows, units, "sum"), [[0.5, 0.5], [0.1, 0.1]])
    assert np.allclose(mass(rows, units, "sum", 0.5), [[0.5, 0.5], [0.3, 0.3]])


def test_ties_go_to_the_lowest_unit() -> None:
    masses = np.array([[1, 2, 2], [0, 0, 0], [3, 1, 3]], np.float32)
    unit, confidence = best_unit(masses, np.array([0, 1, 2], np.int32))
    assert (unit.tolist(), confidence.tolist()) == ([1, 0, 0], [2, 0, 3])
    unit, confidence = best_unit(masses, np.array([1, 2], np.int32))
    assert (unit.tolist(), confidence.tolist()) == ([1, 1, 2], [2, 0, 3])
    assert (unit.dtype.name, confidence.dtype.name) == ("int32", "float32")


@pytest.mark.parametrize("steps", [0, 3])
def test_without_units_there_is_nothing_to_trace_to(steps: int) -> None:
    rows = Rows.of_dense(np.ones((steps, 2 + steps), np.float32))
    masses = mass(rows, make_units([-1, -1]), "sum")
    unit, confidence = best_unit(masses, np.empty(0, np.int32))
    assert (unit.tolist(), confidence.tolist()) == ([-1] * steps, [0.0] * steps)


def curation_groups(competition: str, *kinds: str) -> list[list[list[int]]]:
    """The groups of the small prompt's units, as if it had media of these kinds alone."""
    trace = make_trace()
    units = trace.units(UnitConfig(video="apart"))
    media = [m if m.kind in kinds else Medium("none", "", "") for m in trace.media]
    found = candidate_groups(
        units, [m for m in media if m.kind != "none"] if not kinds else media, competition
    )
    assert all(np.array_equal(g.units, np.sort(np.concatenate(g.curation_groups))) for g in found)
    return [[units.tolist() for units in group.curation_groups] for group in found]


def test_which_units_compete() -> None:
    # Units: text 0 1 10, image 2, audio 3 4 5, vision 6 8, the video's audio 7 9.
    every = ("image", "audio", "video")
    assert curation_groups("together", *every) == [[list(range(11))]]
    assert curation_groups("per-modality", *every) == [
        [[0, 1, 10]],
        [[2]],
        [[3, 4, 5, 7, 9]],
        [[6, 8]],
    ]
    text_and_image = [[0, 1, 10], [2]]
    assert curation_groups("release", *every) == [text_and_image, [[3, 4, 5]], [[6, 8]], [[7, 9]]]


def test_the_release_gives_audio_and_video_prompts_no_text_sources() -> None:
    assert curation_groups("release", "audio", "video") == [
        [[], [2]],
        [[3, 4, 5]],
        [[6, 8]],
        [[7, 9]],
    ]
    assert curation_groups("release")[0] == [[0, 1, 10], [2]]


def test_a_reduce_is_a_line_in_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    halved = Reduce("half of their sum", lambda total, sizes, n: total / 2)
    monkeypatch.setitem(REDUCES, "half", halved)
    trace, half = make_trace(), ReplayConfig(reduce="half")
    whole = Replayer(trace).mass(ReplayConfig(reduce="sum"))
    assert np.array_equal(Replayer(trace).mass(half), whole / 2)
    least = Reduce("smallest", over_tokens=np.minimum)
    monkeypatch.setitem(REDUCES, "min", least)
    rows = Rows.of_dense(np.array([[0.5, 0.25, 0.125, 0]], np.float32))
    assert mass(rows, make_units([0, 0, 1]), "min").tolist() == [[0.25, 0.125]]


def test_the_choices_and_the_help_are_those_of_the_registry() -> None:
    field = next(f for f in fields(ReplayConfig) if f.name == "reduce")
    assert field.metadata["choices"] == tuple(REDUCES)
    assert all(reduce.help in field.metadata["help"] for reduce in REDUCES.values())
