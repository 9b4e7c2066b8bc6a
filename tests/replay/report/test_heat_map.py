"""Heat and strips against plain loops; the PNG against Pillow's reader."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from replay.report.heat_map import (
    grid_shape,
    heat_map_png,
    mass_over_time,
    patch_heat_map,
    token_means,
)
from tests.build import make_trace

TRACE = make_trace()
MEANS = np.random.default_rng(0).random(TRACE.n)


def test_every_patch_has_its_own_score() -> None:
    assert grid_shape(TRACE, 0) == (2, 2)
    assert grid_shape(TRACE, 1) is None
    heat = patch_heat_map(TRACE, 0, MEANS)
    for token in np.flatnonzero(TRACE.timeline.medium == 0):
        at = TRACE.timeline.row[token], TRACE.timeline.column[token]
        assert heat[at] == MEANS[token]


def test_time_is_summed_by_the_second() -> None:
    strip = mass_over_time(TRACE, 1, 3.0, MEANS)
    own = np.flatnonzero(TRACE.timeline.medium == 1)
    assert strip.seconds == 1
    assert strip.mass == pytest.approx(MEANS[own].reshape(3, 2).sum(axis=1))
    film = mass_over_time(TRACE, 2, 2.0, MEANS)
    own = np.flatnonzero(TRACE.timeline.medium == 2)
    assert film.mass == pytest.approx(MEANS[own].reshape(2, 3).sum(axis=1))


def test_long_media_have_wider_bins() -> None:
    strip = mass_over_time(TRACE, 1, 3600.0, MEANS)
    assert len(strip.mass) == 120
    assert strip.seconds == 30
    assert strip.mass.sum() == pytest.approx(MEANS[TRACE.timeline.medium == 1].sum())


def test_means_over_steps() -> None:
    scores = np.arange(12.0).reshape(3, 4)
    assert token_means(scores, (1, 3), 2).tolist() == [6, 7]
    assert token_means(scores, (1, 1), 2).tolist() == [0, 0]


def test_the_picture_is_a_png_of_one_pixel_a_patch() -> None:
    uri = heat_map_png(np.array([[0.0, 0.5, 1.0], [2.0, 0.25, 0.0]]), 1.0, "#d977b0")
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
    assert image.size == (3, 2)
    pixels = np.asarray(image)
    assert (pixels[..., :3] == [0xD9, 0x77, 0xB0]).all()
    assert pixels[..., 3].tolist() == [[0, 116, 217], [217, 58, 0]]


def test_no_heat_at_all_is_clear() -> None:
    image = Image.open(
        io.BytesIO(base64.b64decode(heat_map_png(np.zeros((2, 2)), 0.0, "#000000")[22:]))
    )
    assert np.asarray(image.convert("RGBA"))[..., 3].tolist() == [[0, 0], [0, 0]]
