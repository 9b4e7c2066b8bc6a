"""Rows and columns of an image's tokens, for every form in which processors lay images out."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from transformers.image_processing_utils import select_best_resolution
from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

from recorder.models.placing import Places, Runs, places

hf: Any = transformers
"""Its functions are untyped."""


def grid(found: Places | None) -> list[tuple[int, int]]:
    """(row, column) of each token."""
    assert found is not None
    assert found.row.dtype == found.column.dtype == np.int32
    return list(zip(found.row.tolist(), found.column.tolist(), strict=True))


def square(side: int, row: int = 0, column: int = 0) -> list[tuple[int, int]]:
    """Row by row, from this row and column on."""
    return rectangle(side, side, row, column)


def rectangle(rows: int, columns: int, row: int = 0, column: int = 0) -> list[tuple[int, int]]:
    return [(row + r, column + c) for r in range(rows) for c in range(columns)]


def runs(*lengths: int, **more: Any) -> Runs:
    """Runs without marks in an image of 100 by 100 pixels, but for what `more` says."""
    return Runs(lengths, **{"marks": ("",) * len(lengths), "width": 100, "height": 100, **more})


def test_a_square() -> None:
    """LLaVA, Gemma 3: every image is as many tokens, whatever its size."""
    assert grid(places(runs(9, side=3, width=640))) == square(3)


def test_a_shape_that_the_processor_says() -> None:
    assert grid(places(runs(6, shapes=((2, 3),)))) == rectangle(2, 3)
    assert grid(places(runs(6, shapes=((3, 2),), side=3))) == rectangle(3, 2)


def test_rows_with_a_mark_behind_each() -> None:
    """Pixtral: the marks are not among the tokens, and no row is shorter than another."""
    marks = ("", "[IMG_BREAK]", "[IMG_BREAK]")
    assert grid(places(runs(4, 4, 4, marks=marks, by_row=True))) == rectangle(3, 4)
    assert grid(places(runs(5, marks=("",), by_row=True))) == rectangle(1, 5)
    assert places(runs(4, 4, 3, marks=marks, by_row=True)) is None


def test_tiles_that_name_their_rows_and_columns() -> None:
    """Idefics 3, SmolVLM: two rows of three tiles, then the whole image, small."""
    names = [f"<fake><row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2, 3)]
    found = places(runs(*[4] * 7, marks=(*names, "\n\n<fake><global-img>"), side=2))
    assert grid(found)[:24] == [
        *square(2, 0, 0), *square(2, 0, 2), *square(2, 0, 4),
        *square(2, 2, 0), *square(2, 2, 2), *square(2, 2, 4),
    ]  # fmt: skip
    # The small copy's four tokens show a quarter of the image each: 2 rows by 3 columns.
    assert grid(found)[24:] == [(1, 1), (1, 4), (3, 1), (3, 4)]


def test_tiles_with_a_copy_of_another_shape() -> None:
    """LFM2-VL: the small copy keeps the image's aspect ratio, the tiles are squares."""
    names = ("<|image_start|><|img_row_1_col_1|>", "<|img_row_1_col_2|>", "<|img_thumbnail|>")
    found = places(runs(4, 4, 3, marks=names, shapes=((2, 2), (2, 2), (1, 3))))
    assert grid(found) == [*square(2, 0, 0), *square(2, 0, 2), (1, 0), (1, 2), (1, 3)]


def test_one_tile_with_a_name() -> None:
    assert grid(places(runs(4, marks=("<fake><global-img>",), side=2))) == square(2)


@pytest.mark.parametrize(
    ("marks", "tiles"),
    [
        (("<|tile_x_separator|>",), [(0, 0), (0, 1)]),
        (("<|tile_y_separator|>",), [(0, 0), (1, 0)]),
        (("<|tile_y_separator|>",) * 2, [(0, 0), (1, 0), (2, 0)]),
        (
            ("<|tile_x_separator|>", "<|tile_y_separator|>", "<|tile_x_separator|>"),
            [(0, 0), (0, 1), (1, 0), (1, 1)],
        ),
    ],
)
def test_tiles_with_separators(marks: tuple[str, ...], tiles: list[tuple[int, int]]) -> None:
    """Llama 4: the copy of the whole image comes last."""
    every = ("<|image_start|>", *marks, "<|tile_y_separator|><|image|>")
    found = places(runs(*[4] * len(every), marks=every, side=2))
    expected = [place for row, column in tiles for place in square(2, 2 * row, 2 * column)]
    assert grid(found)[:-4] == expected
    rows, columns = 1 + max(row for row, _ in tiles), 1 + max(column for _, column in tiles)
    middles = [(rows * (2 * r + 1) // 2, columns * (2 * c + 1) // 2) for r, c in square(2)]
    assert grid(found)[-4:] == middles


def test_one_tile_without_separators() -> None:
    assert grid(places(runs(4, marks=("<|image_start|><|image|>",), side=2))) == square(2)


def test_tiles_in_one_run() -> None:
    """InternVL: rows and columns follow from the number of tiles and the image's aspect ratio."""
    wide = places(runs(3 * 4, side=2, width=200))
    assert grid(wide) == [*square(2), *square(2, 0, 2), (0, 1), (0, 3), (1, 1), (1, 3)]
    tall = places(runs(3 * 4, side=2, height=200))
    assert grid(tall) == [*square(2), *square(2, 2, 0), (1, 0), (1, 1), (3, 0), (3, 1)]
    assert grid(places(runs(5 * 4, side=2)))[:16] == [
        *square(2), *square(2, 0, 2), *square(2, 2, 0), *square(2, 2, 2),
    ]  # fmt: skip


@given(st.integers(8, 3000), st.integers(8, 3000), st.sampled_from([2, 4, 6, 12]))
def test_tiles_in_one_run_are_those_of_the_processor(width: int, height: int, most: int) -> None:
    columns, rows = get_optimal_tiled_canvas((height, width), (448, 448), 1, most)
    count = rows * columns + (1 if rows * columns > 1 else 0)
    found = places(runs(4 * count, side=2, width=width, height=height))
    assert found is not None
    assert (found.row.max() + 1, found.column.max() + 1) == (2 * rows, 2 * columns)


PINPOINTS = ((2, 1), (1, 2), (2, 2))


def test_rows_that_end_with_a_token_behind_a_copy() -> None:
    """LLaVA-NeXT: the copy first; then two rows of four, the fifth token of each ends it."""
    found = places(runs(4 + 2 * 5, side=2, width=200, tilings=PINPOINTS))
    assert grid(found)[:4] == [(0, 1), (0, 3), (1, 1), (1, 3)]
    assert grid(found)[4:] == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 3),
                               (1, 0), (1, 1), (1, 2), (1, 3), (1, 3)]  # fmt: skip


def test_a_copy_and_the_token_that_ends_no_rows() -> None:
    """An image so narrow that nothing of it is left beside the copy."""
    found = places(runs(4 + 1, side=2, width=1, height=400, tilings=PINPOINTS))
    assert grid(found) == [*square(2), (1, 1)]


NEXT = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
"""The sizes of the published LLaVA-NeXT."""


@given(st.integers(30, 2500), st.integers(30, 2500))
def test_rows_are_those_of_llava_next(width: int, height: int) -> None:
    high, wide = select_best_resolution((height, width), NEXT)
    # private: the published count of tokens
    tokens, ends = hf.LlavaNextProcessor._get_unpadded_features(
        SimpleNamespace(), height, width, 24, 24, high // 336, wide // 336
    )
    tilings = tuple((high // 336, wide // 336) for high, wide in NEXT)
    count = 24 * 24 + tokens + ends
    found = places(runs(count, side=24, width=width, height=height, tilings=tilings))
    assert found is not None
    rows, columns = found.row[24 * 24 :], found.column[24 * 24 :]
    if ends:
        assert (rows.max() + 1, columns.max() + 1) == (ends, tokens // ends)
        assert (np.bincount(rows) == tokens // ends + 1).all()


@given(st.integers(60, 2500), st.integers(60, 2500))
def test_rows_are_those_of_llava_onevision(width: int, height: int) -> None:
    """Scaled down where they are more than nine tiles; or not known, never wrong."""
    points = [[384 * high, 384 * wide] for high in range(1, 7) for wide in range(1, 7)]
    high, wide = select_best_resolution((height, width), points)
    # private: the published count of tokens
    tokens, ends = hf.LlavaOnevisionProcessor._get_unpadded_features(
        SimpleNamespace(vision_aspect_ratio="anyres_max_9"),
        height, width, 27, 27, high // 384, wide // 384,
    )  # fmt: skip
    tilings = tuple((rows // 384, columns // 384) for rows, columns in points)
    count = 27 * 27 + tokens + ends
    found = places(runs(count, side=27, width=width, height=height, tilings=tilings))
    if found is None:
        assert max(width / height, height / width) > 9
        return
    rows, columns = found.row[27 * 27 :], found.column[27 * 27 :]
    assert (rows.max() + 1, columns.max() + 1) == (ends, tokens // ends)


@pytest.mark.parametrize(
    "unknown",
    [
        runs(7),
        runs(10, side=3),
        runs(5, side=3),
        runs(0, side=3),
        runs(9, 9, side=3, marks=("<start>", "and some crops: ")),
        runs(9, 8, side=3, marks=("row_1_col_1", "row_1_col_2")),
        runs(4 + 7, side=2, tilings=PINPOINTS),
        runs(3, side=2, tilings=PINPOINTS),
        runs(),
    ],
)
def test_layouts_that_are_not_known(unknown: Runs) -> None:
    assert places(unknown) is None


@st.composite
def layouts(draw: st.DrawFn) -> Runs:
    """Any of the forms."""
    side, rows, columns = (draw(st.integers(1, 5)) for _ in range(3))
    tiles = [(row, column) for row in range(1, rows + 1) for column in range(1, columns + 1)]
    size = {"width": draw(st.integers(1, 900)), "height": draw(st.integers(1, 900))}
    form = draw(st.sampled_from(["named", "separated", "by_row", "run", "shapes"]))
    if form == "by_row":
        return runs(*[columns] * rows, by_row=True, **size)
    if form == "run":
        return runs((rows * columns + 1) * side**2, side=side, **size)
    marks = [f"<row_{row}_col_{column}>" for row, column in tiles] + ["<global-img>"]
    if form == "named":
        return runs(*[side**2] * len(marks), marks=tuple(marks), side=side, **size)
    if form == "shapes":
        copy = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        shapes = ((side, side + 1),) * len(tiles) + (copy,)
        return runs(*map(math.prod, shapes), marks=tuple(marks), shapes=shapes, **size)
    signs = [
        "<|tile_x_separator|>" if column > 1 else "<|tile_y_separator|>" for _, column in tiles
    ]
    every = ("", *signs[1:], "<|tile_y_separator|><|image|>")
    return runs(*[side**2] * len(every), marks=every, side=side, **size)


@given(layouts())
def test_places_lie_within_the_grid_and_copies_cover_it(layout: Runs) -> None:
    """The tiles fill their grid, a token a place; a copy's tokens lie apart and reach over it."""
    found = places(layout)
    assert found is not None
    count = len(grid(found))
    assert count == sum(layout.lengths)
    rows, columns = int(found.row.max()) + 1, int(found.column.max()) + 1
    every = set(rectangle(rows, columns))
    if layout.by_row:
        assert grid(found) == rectangle(rows, columns)
        return
    copy = layout.side**2 if not layout.shapes else math.prod(layout.shapes[-1])
    tiles = grid(found)[:-copy]
    assert set(tiles) == every
    assert len(tiles) == len(every)
    small = grid(found)[-copy:]
    assert set(small) <= every
    shape = layout.shapes[-1] if layout.shapes else (layout.side, layout.side)
    for axis, (whole, size) in enumerate(zip((rows, columns), shape, strict=True)):
        at = sorted({place[axis] for place in small})
        # The middles of `size` stretches of the whole.
        assert at == sorted({(2 * k + 1) * whole // (2 * size) for k in range(size)})
