"""Where an image's tokens lie: rows and columns, from how the processor has laid them out.

Processors lay an image out as one run of tokens, as rows with a mark behind each, or as tiles with
marks between them and a small copy of the whole image. What is known of that: the number of tokens
in each run, the text before it, and where the processor says so the shape. Knows no model and no
processor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnitrace.timeline import Int32

Shape = tuple[int, int]
"""Rows and columns."""

_TILE = re.compile(r"row_(\d+)_col_(\d+)")
_NEXT_TILE = "tile_x_separator"


@dataclass(frozen=True)
class Runs:
    """An image's tokens as the processor has laid them out.

    `lengths` of the runs, and the text before each, `marks`; the image is `width` by `height`
    pixels. Where they are known: `side`, the tokens that a whole image or a tile is high and wide;
    `shapes`, of each run; `by_row`: every run is a row.
    """

    lengths: tuple[int, ...]
    marks: tuple[str, ...]
    width: int
    height: int
    side: int = 0
    shapes: tuple[Shape, ...] = ()
    by_row: bool = False


@dataclass(frozen=True)
class Places:
    """The place of each token on the image's grid: `row`, `column` (tokens,) int32."""

    row: Int32
    column: Int32


def places(runs: Runs) -> Places | None:
    """The place of every token, run after run; None where the layout is not known.

    A token that ends a row lies in its last column. Those of a small copy of the whole image lie
    where the middle of what they show is.
    """
    lengths = runs.lengths
    if runs.by_row:
        return _rectangle((len(lengths), lengths[0])) if len(set(lengths)) == 1 else None
    shapes = runs.shapes or ((runs.side, runs.side),) * len(lengths)
    if [rows * columns for rows, columns in shapes] == list(lengths):
        return _composed(shapes, _tiles(runs))
    return _of_one_run(runs) if len(lengths) == 1 and runs.side else None


def _rectangle(shape: Shape) -> Places:
    row, column = np.divmod(np.arange(math.prod(shape), dtype=np.int32), np.int32(shape[1]))
    return Places(row, column)


def _copy(shape: Shape, whole: Shape) -> Places:
    """A copy, `shape` tokens, of an image that is `whole` tokens."""
    small = _rectangle(shape)
    return Places(
        ((small.row + 0.5) * whole[0] / shape[0]).astype(np.int32),
        ((small.column + 0.5) * whole[1] / shape[1]).astype(np.int32),
    )


def _tiles(runs: Runs) -> list[Shape | None]:
    """Row and column of the tile that each run is, None for a copy of the whole image."""
    if any(_NEXT_TILE in mark for mark in runs.marks):
        return _separated_tiles(runs.marks)
    found = [_TILE.search(mark) for mark in runs.marks]
    return [(int(m[1]) - 1, int(m[2]) - 1) if m else None for m in found]


def _separated_tiles(marks: Sequence[str]) -> list[Shape | None]:
    """Tiles of one row are separated by one mark, rows end with another, and the copy of the whole
    image comes last (Llama 4)."""
    where: list[Shape | None] = [(0, 0)]
    row = column = 0
    for mark in marks[1:]:
        row, column = (row, column + 1) if _NEXT_TILE in mark else (row + 1, 0)
        where.append((row, column))
    where[-1] = None
    return where


def _composed(shapes: Sequence[Shape], tiles: Sequence[Shape | None]) -> Places:
    """Tiles of one shape side by side on one grid, copies of the whole image laid over them."""
    placed = [tile for tile in tiles if tile is not None]
    size = next((s for s, tile in zip(shapes, tiles, strict=True) if tile is not None), shapes[0])
    rows, columns = (1 + max((tile[axis] for tile in placed), default=0) for axis in (0, 1))
    whole = (rows * size[0], columns * size[1])
    pieces = []
    for tile, shape in zip(tiles, shapes, strict=True):
        if tile is None:
            pieces.append(_copy(shape, whole))
        else:
            own = _rectangle(shape)
            pieces.append(Places(own.row + tile[0] * size[0], own.column + tile[1] * size[1]))
    return _joined(pieces)


def _joined(pieces: Sequence[Places]) -> Places:
    return Places(
        np.concatenate([piece.row for piece in pieces]),
        np.concatenate([piece.column for piece in pieces]),
    )


def _of_one_run(runs: Runs) -> Places | None:
    """Several tiles in one run; or a copy of the whole image, and rows that end with a token."""
    count, base = runs.lengths[0], runs.side**2
    if count % base == 0:
        return _unmarked_tiles(runs, count // base)
    return _with_copy(runs, count - base) if count > base else None


def _likest(shapes: Sequence[Shape], runs: Runs) -> Shape:
    """The shape that is most like the image's."""
    wanted = math.log(runs.width / runs.height)
    return min(shapes, key=lambda shape: abs(math.log(shape[1] / shape[0]) - wanted))


def _factors(count: int) -> list[Shape]:
    return [(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]


def _unmarked_tiles(runs: Runs, count: int) -> Places:
    """`count` tiles in one run, the last of several a copy of the whole image (InternVL)."""
    rows, columns = _likest(_factors(count - 1), runs)
    tiles: list[Shape | None] = [divmod(tile, columns) for tile in range(rows * columns)]
    return _composed([(runs.side, runs.side)] * count, [*tiles, None])


def _with_copy(runs: Runs, count: int) -> Places:
    """A copy of the whole image, then `count` tokens in rows, each with a token that ends it
    (LLaVA-NeXT)."""
    if count == 1:  # no rows, and the token that ends them
        only = _rectangle((runs.side, runs.side))
        return _joined([only, Places(only.row[-1:], only.column[-1:])])
    shapes = [(rows, width - 1) for rows, width in _factors(count) if width > 1]
    rows, columns = _likest(shapes, runs)
    whole = _rectangle((rows, columns + 1))
    whole = Places(whole.row, np.minimum(whole.column, np.int32(columns - 1)))
    return _joined([_copy((runs.side, runs.side), (rows, columns)), whole])
