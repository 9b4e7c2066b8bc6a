"""Base units and masks: what is a unit, which rows there are, and that draws are fair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.ablations import LEAST_JUDGED, Row
from omnitrace.timeline import Modality
from omnitrace.units import UnitConfig
from recorder.ablation.base import Base, base_units
from recorder.ablation.design import design, masks_needed
from tests.build import make_trace


def test_units_are_sentences_images_and_seconds_of_each_stream() -> None:
    trace = make_trace()
    base = base_units(trace)
    kinds = [Modality(int(trace.timeline.modality[base.unit_of == u][0])) for u in range(len(base))]
    assert [kind.label for kind in kinds] == [
        "text", "text", "image", *["audio"] * 3, *["video", "audio"] * 2, "text",
    ]  # fmt: skip
    assert base.part.tolist() == [0, 0, 1, 2, 2, 2, 3, 3, 3, 3, 4]
    assert np.flatnonzero(base.request).tolist() == [10]
    assert (base.unit_of[[0, -1]] == -1).all(), "what the template adds is in no unit"
    assert len(base_units(trace, UnitConfig(image="grid"))) == len(base) + 3


@pytest.mark.parametrize("config", [UnitConfig(), UnitConfig(text="part", video_seconds=2.0)])
def test_replay_units_are_unions_of_them(config: UnitConfig) -> None:
    trace = make_trace()
    base, units = base_units(trace), trace.units(config)
    owner = np.full(trace.n, -1)
    for (start, end), unit in zip(units.ranges.tolist(), units.owner.tolist(), strict=True):
        owner[start:end] = unit
    for unit in range(len(base)):
        assert len(set(owner[base.unit_of == unit].tolist())) == 1


def test_of_a_prompt_in_one_part_the_last_sentence_asks() -> None:
    trace = make_trace()
    line = trace.timeline
    line.part[line.part >= 0] = 4
    line.modality[line.modality < 4] = Modality.TEXT
    base = base_units(trace)
    assert base.request.tolist() == [False] * (len(base) - 1) + [True]


def test_only_tokens_of_masked_units_are_hidden() -> None:
    base = base_units(make_trace())
    kept = np.ones((2, len(base)), bool)
    kept[1, [0, 4]] = False
    seen = base.visible(kept)
    assert seen[0].all()
    assert np.array_equal(seen[1], ~np.isin(base.unit_of, [0, 4]))


def base_of(parts: list[int], asks: int = 1) -> Base:
    units = len(parts)
    request = np.arange(units) >= units - asks
    own = np.arange(units, dtype=np.int32)
    return Base(own, np.array(parts, np.int32), own, request)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    masks=st.integers(2, 80),
    seed=st.integers(0, 99),
)
def test_rows_are_different_and_begin_with_what_is_coarse(
    sizes: list[int], masks: int, seed: int
) -> None:
    base = base_of(np.repeat(np.arange(len(sizes)), sizes).tolist())
    weight = np.random.default_rng(seed).random(len(base))
    made = design(base, masks, seed, weight)
    assert 2 <= len(made.kept) <= masks
    assert len({row.tobytes() for row in made.kept}) == len(made.kept)
    assert made.why[:2].tolist() == [Row.FULL, Row.EMPTY]
    assert made.kept[0].all()
    assert np.array_equal(made.kept[1], base.request)
    drawn = made.why >= Row.DRAWN
    assert (made.kept[drawn][:, base.request]).all(), "draws keep the request"
    assert not made.held_out[~drawn].any()
    assert made.held_out.sum() == drawn.sum() // 3
    gone = np.count_nonzero(~made.kept, axis=1)
    assert (gone[made.why == Row.WITHOUT_UNIT] == 1).all()
    if np.count_nonzero(gone[~drawn] == 1) < len(base):
        assert (~drawn).sum() >= masks // 2, "only for want of rows are units not left out"
    again = design(base, masks, seed, weight)
    assert np.array_equal(again.kept, made.kept)


def test_few_units_have_every_mask_there_is() -> None:
    made = design(base_of([0, 0, 0, 1]), 64, 0, np.zeros(4))
    assert len(made.kept) == 8 + 1, "8 with the request, and the one without it alone"


def test_draws_keep_every_unit_half_the_time_independently() -> None:
    base = base_of([0] * 10 + [1] * 10 + [2])
    made = design(base, 2000, 3, np.zeros(21))
    drawn = made.kept[made.why == Row.DRAWN][:, :-1].astype(float)
    assert len(drawn) > 1400
    np.testing.assert_allclose(drawn.mean(axis=0), 0.5, atol=0.06)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(20)).max() < 0.12
    parts = made.kept[made.why == Row.DRAWN_PARTS]
    assert (parts[:, :10].all(axis=1) | ~parts[:, :10].any(axis=1)).all()


def test_what_is_to_go_as_a_whole_goes_as_a_whole() -> None:
    trace = make_trace()
    base = base_units(trace)
    assert base.unit[6] == base.unit[8], "two seconds of vision, of the default preset"
    assert len({base.unit[6], base.unit[7], base.unit[9]}) == 3
    made = design(base, 64, 0, np.ones(len(base)))
    gone = {tuple(np.flatnonzero(~row).tolist()) for row in made.kept}
    assert {(6,), (7,), (6, 8), (9,), (0,), (10,)} <= gone
    drawn = made.kept[made.why == Row.DRAWN]
    assert len(drawn) > 10
    assert np.array_equal(drawn[:, 6], drawn[:, 8])
    apart = made.kept[made.why == Row.DRAWN_BASE]
    assert (apart[:, 6] != apart[:, 8]).any()
    united = base_units(trace, UnitConfig())
    assert united.unit[[6, 7]].tolist() == [6, 6], "vision and sound of a film's first second"


def test_units_that_cut_seconds_are_base_units_too() -> None:
    trace = make_trace()
    base = base_units(trace, UnitConfig(audio_seconds=0.5))
    assert len(base) > len(base_units(trace))
    units = trace.units(UnitConfig(audio_seconds=0.5))
    owner = units.owner_of_tokens(trace.n)
    for unit in range(len(base)):
        assert len(set(owner[base.unit_of == unit].tolist())) == 1
    left = base_units(trace, UnitConfig(request="leave-out"))
    assert np.array_equal(left.unit_of, base_units(trace).unit_of), "the request stays a unit"


@pytest.mark.parametrize("units", [3, 5, 9, 18, 40])
@pytest.mark.parametrize("masks", [8, 16, 32, 48, 64, 128])
def test_masks_that_are_needed_are_enough(units: int, masks: int) -> None:
    numbers = np.arange(units, dtype=np.int32)
    base = Base(numbers, np.zeros(units, np.int32), numbers, numbers == units - 1)
    made = design(base, masks, 0, np.zeros(units))
    needed = masks_needed(base, made, masks)
    singles = {tuple(np.flatnonzero(~kept).tolist()) for kept in made.kept}
    whole = all((unit,) in singles for unit in range(units))
    enough = whole and made.held_out.sum() >= LEAST_JUDGED
    assert (needed == 0) == (enough or len(made.kept) < masks)
    if needed:
        assert needed > masks
        assert masks_needed(base, design(base, needed, 0, np.zeros(units)), needed) == 0
