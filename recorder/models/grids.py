"""Where an image's tokens lie: rows and columns, from how the processor has laid them out.

Processors lay an image out as one run of tokens, as rows with a mark behind each, or as tiles with
marks between them and a small copy of the whole image. What is known of that: the number of tokens
in each run, the text before it, and where the processor says so the shape. Knows no model and no
processor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Int32

Shape = tuple[int, int]
"""Rows and columns."""

MOST_TILES = 9
"""LLaVA-OneVision's images are scaled down to the tokens of so many tiles."""
_TILE = re.compile(r"row_(\d+)_col_(\d+)")
_NEXT_TILE, _NEXT_ROW = "tile_x_separator", "tile_y_separator"


@dataclass(frozen=True)
class Runs:
    """An image's tokens as the processor has laid them out.

    `lengths` of the runs, and the text before each, `marks`; the image is `width` by `height`
    pixels. Where they are known: `side`, the tokens that a whole image or a tile is high and wide;
    `shapes`, of each run; `by_row`: every run is a row; `tilings`: into how many rows and columns
    of tiles an image may be cut.
    """

    lengths: tuple[int, ...]
    marks: tuple[str, ...]
    width: int
    height: int
    side: int = 0
    shapes: tuple[Shape, ...] = ()
    by_row: bool = False
    tilings: tuple[Shape, ...] = ()


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
    if not lengths:
        return None
    if runs.by_row:
        return _rectangle((len(lengths), lengths[0])) if len(set(lengths)) == 1 else None
    shapes = runs.shapes or ((runs.side, runs.side),) * len(lengths)
    if [rows * columns for rows, columns in shapes] == list(lengths):
        tiles = _tiles(runs.marks)
        return None if tiles is None else _composed(shapes, tiles)
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


def _tiles(marks: Sequence[str]) -> list[Shape | None] | None:
    """Row and column of the tile that each run is, None for a copy of the whole image; None if the
    marks of several runs do not tell."""
    if any(_NEXT_TILE in mark or _NEXT_ROW in mark for mark in marks):
        return _separated_tiles(marks)
    found = [_TILE.search(mark) for mark in marks]
    if len(found) > 1 and not any(found):
        return None
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
    if runs.tilings:
        return _with_copy(runs, count - base) if count > base else None
    return _unmarked_tiles(runs, count // base) if count > base and count % base == 0 else None


def _unmarked_tiles(runs: Runs, count: int) -> Places:
    """`count` tiles in one run, the last a copy of the whole image, the others in the rows and
    columns that are most like the image (InternVL)."""
    pairs = [(rows, (count - 1) // rows) for rows in range(1, count) if (count - 1) % rows == 0]
    ratio = math.log(runs.width / runs.height)
    rows, columns = min(pairs, key=lambda pair: abs(math.log(pair[1] / pair[0]) - ratio))
    tiles: list[Shape | None] = [divmod(tile, columns) for tile in range(rows * columns)]
    return _composed([(runs.side, runs.side)] * count, [*tiles, None])


def _with_copy(runs: Runs, count: int) -> Places | None:
    """A copy of the whole image, then `count` tokens in rows, each with a token that ends it
    (LLaVA-NeXT). None unless just one shape of that many follows from the tilings."""
    if count == 1:  # no rows, and the token that ends them
        only = _rectangle((runs.side, runs.side))
        return _joined([only, Places(only.row[-1:], only.column[-1:])])
    shapes = {shape for tiling in runs.tilings for shape in _unpadded(runs, tiling)}
    fitting = [(rows, columns) for rows, columns in shapes if rows * (columns + 1) == count]
    if len(fitting) != 1:
        return None
    [(rows, columns)] = fitting
    whole = _rectangle((rows, columns + 1))
    whole = Places(whole.row, np.minimum(whole.column, np.int32(columns - 1)))
    return _joined([_copy((runs.side, runs.side), (rows, columns)), whole])


def _unpadded(runs: Runs, tiling: Shape) -> Iterator[Shape]:
    """The rows and columns of tokens that an image covers on `tiling`, in whose middle it lies with
    its own aspect ratio; and the same scaled down to the tokens of nine tiles (LLaVA-OneVision)."""
    rows, columns = (tiles * runs.side for tiles in tiling)
    if runs.width * rows > runs.height * columns:
        rows -= (rows - int(round(runs.height * (columns / runs.width), 7))) // 2 * 2
    else:
        columns -= (columns - int(round(runs.width * (rows / runs.height), 7))) // 2 * 2
    yield rows, columns
    ratio = math.sqrt(rows * columns / (MOST_TILES * runs.side**2))
    if ratio > 1:
        yield int(rows // ratio), int(columns // ratio)
