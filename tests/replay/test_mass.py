"""Masses and the mapping equal plain loops over the paper's equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.timeline import Medium
from omnitrace.units import UnitConfig, Units
from replay.mapping import best_unit, races
from replay.mass import mass
from tests.build import make_trace


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
        ranges=np.array(ranges, np.int32).reshape(-1, 2),
        offset=np.array(offset, np.int32),
    )


owners = st.lists(st.integers(-1, 3), max_size=12)
PLAIN: dict[str, Any] = {"sum": np.sum, "max": np.max, "mean": np.mean}


@given(owners, st.integers(0, 4), st.sampled_from(sorted(PLAIN)), st.integers(0, 2**32 - 1))
def test_mass_equals_a_plain_loop(owner: list[int], steps: int, reduce: str, seed: int) -> None:
    scores = np.random.default_rng(seed).random((steps, len(owner) + steps), np.float32)
    order = list(dict.fromkeys(unit for unit in owner if unit >= 0))
    columns = {unit: [i for i, own in enumerate(owner) if own == unit] for unit in order}
    expected = [[PLAIN[reduce](row[columns[unit]]) for unit in order] for row in scores]
    got = mass(scores, make_units(owner), reduce)
    assert got.shape == (steps, len(order))
    assert got.dtype == np.float32
    assert np.allclose(got, np.array(expected).reshape(got.shape), atol=1e-6)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 5))
def test_mass_of_a_partition_is_the_rows_sum(owner: list[int], steps: int) -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(len(owner)), steps).astype(np.float32)
    padded = np.concatenate([scores, np.zeros((steps, steps), np.float32)], axis=1)
    assert np.allclose(mass(padded, make_units(owner), "sum").sum(axis=1), 1, atol=1e-6)


def test_lift_is_the_sum_over_its_mean() -> None:
    scores = np.array([[0.1, 0.1, 0.0, 0.4], [0.3, 0.1, 0.0, 0.2]], np.float32)
    got = mass(np.pad(scores, ((0, 0), (0, 2))), make_units([0, 0, 1, 2]), "lift")
    # Sums 0.2, 0.4 (mean 0.3); 0, 0 (mean 0); 0.4, 0.2 (mean 0.3).
    assert np.allclose(got, [[2 / 3, 0, 4 / 3], [4 / 3, 0, 2 / 3]])


def test_generated_tokens_hold_no_units_mass() -> None:
    scores = np.array([[0.5, 0.5, 0.0], [0.1, 0.1, 0.8]], np.float32)
    assert np.allclose(mass(scores, make_units([0, 1]), "sum"), [[0.5, 0.5], [0.1, 0.1]])


def test_ties_go_to_the_lowest_unit() -> None:
    masses = np.array([[1, 2, 2], [0, 0, 0], [3, 1, 3]], np.float32)
    unit, confidence = best_unit(masses, np.array([0, 1, 2], np.int32))
    assert (unit.tolist(), confidence.tolist()) == ([1, 0, 0], [2, 0, 3])
    unit, confidence = best_unit(masses, np.array([1, 2], np.int32))
    assert (unit.tolist(), confidence.tolist()) == ([1, 1, 2], [2, 0, 3])
    assert (unit.dtype.name, confidence.dtype.name) == ("int32", "float32")


@pytest.mark.parametrize("steps", [0, 3])
def test_without_units_there_is_nothing_to_trace_to(steps: int) -> None:
    masses = mass(np.ones((steps, 2 + steps), np.float32), make_units([-1, -1]), "sum")
    unit, confidence = best_unit(masses, np.empty(0, np.int32))
    assert (unit.tolist(), confidence.tolist()) == ([-1] * steps, [0.0] * steps)


def heats(competition: str, *kinds: str) -> list[list[list[int]]]:
    """The races over the small prompt's units, with only media of these kinds said to be there."""
    trace = make_trace()
    units = trace.units(UnitConfig(video="apart"))
    media = [m if m.kind in kinds else Medium("none", "", "") for m in trace.media]
    found = races(
        units, [m for m in media if m.kind != "none"] if not kinds else media, competition
    )
    assert all(np.array_equal(r.units, np.sort(np.concatenate(r.heats))) for r in found)
    return [[heat.tolist() for heat in race.heats] for race in found]


def test_who_competes_with_whom() -> None:
    # Units: text 0 1 10, image 2, audio 3 4 5, vision 6 8, the film's sound 7 9.
    every = ("image", "audio", "video")
    assert heats("together", *every) == [[list(range(11))]]
    assert heats("per-modality", *every) == [[[0, 1, 10]], [[2]], [[3, 4, 5, 7, 9]], [[6, 8]]]
    text_and_image = [[0, 1, 10], [2]]
    assert heats("release", *every) == [text_and_image, [[3, 4, 5]], [[6, 8]], [[7, 9]]]


def test_the_release_gives_audio_and_video_prompts_no_text_sources() -> None:
    assert heats("release", "audio", "video") == [[[], [2]], [[3, 4, 5]], [[6, 8]], [[7, 9]]]
    assert heats("release")[0] == [[0, 1, 10], [2]]
