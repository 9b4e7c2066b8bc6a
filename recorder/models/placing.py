"""The tokens of one medium on the timeline: patches of images, seconds of videos and audio.

Processors lay an image out as one run of tokens, as rows with a mark behind each, or as tiles with
marks between them and a small copy of the whole image. The place of each token follows from the
number of tokens in each run, the text before it, and where the processor reports it the shape.
Knows no model and no processor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from omnitrace.arrays import Int32
from omnitrace.errors import SampleError
from omnitrace.timeline import Modality, Timeline
from recorder.inputs.loaded import Loaded
from recorder.models import layout
from recorder.models.layout import Indices
from recorder.models.tokens import Decode

Shape = tuple[int, int]
"""Rows and columns."""

MOST_TILES = 9
"""LLaVA-OneVision's images are scaled down to the tokens of so many tiles."""
_TILE = re.compile(r"row_(\d+)_col_(\d+)")
_NEXT_TILE, _NEXT_ROW = "tile_x_separator", "tile_y_separator"


@dataclass(frozen=True)
class Region:
    """The tokens of one medium, (k,) indices into the prompt: `own` those whose embeddings are the
    medium's, `runs` each unbroken run of these, `marks` the text before each run."""

    own: Indices
    runs: tuple[Indices, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Geometry:
    """The layout of one image or video as its processor reports it: `grid`, frames, rows and
    columns of tokens; `together`, how many frames share tokens, 0 if unknown; `side`, `shapes`,
    `by_row` and `tilings` as in `Runs`."""

    grid: tuple[int, int, int] | None = None
    side: int = 0
    shapes: tuple[Shape, ...] = ()
    by_row: bool = False
    tilings: tuple[Shape, ...] = ()
    together: int = 0


def region_of(ids: Int32, tokens: Indices, media_ids: frozenset[int], decode: Decode) -> Region:
    """The region of a medium that takes `tokens` of the prompt.

    Its own are those of `media_ids`; where none is, those of the commonest id.
    """
    inside = ids[tokens]
    own = np.isin(inside, list(media_ids))
    if not own.any() and len(tokens):
        values, counts = np.unique(inside, return_counts=True)
        own = inside == values[counts.argmax()]
    edges = np.flatnonzero(np.diff(own, prepend=False, append=False))
    bounds = list(pairwise([0, *edges.tolist()]))
    marks = [decode(inside[a:b].tolist()) for a, b in bounds[::2]]
    runs = tuple(tokens[a:b] for a, b in bounds[1::2])
    return Region(tokens[own], runs, tuple(marks[: len(runs)]))


def place_image(timeline: Timeline, region: Region, loaded: Loaded, geometry: Geometry) -> None:
    """Fill in the patches of an image, rows and columns where its layout is known."""
    timeline.modality[region.own] = Modality.IMAGE
    if geometry.grid is not None and math.prod(geometry.grid) == len(region.own):
        layout.place_patches(timeline, region.own, geometry.grid, Modality.IMAGE)
        return
    assert loaded.image is not None
    found = places(
        Runs(
            tuple(len(run) for run in region.runs), region.marks, *loaded.image.size,
            geometry.side, geometry.shapes, geometry.by_row, geometry.tilings,
        )
    )  # fmt: skip
    if found is not None:
        timeline.frame[region.own] = 0
        timeline.row[region.own], timeline.column[region.own] = found.row, found.column


def place_video(timeline: Timeline, region: Region, loaded: Loaded, geometry: Geometry) -> None:
    """Fill in the groups of frames of a video, their seconds, and patches where they are known.

    A group of frames lasts from its first frame to the next group's. SampleError where it is not
    known which frames share tokens.
    """
    assert loaded.video is not None
    own, video = region.own, loaded.video
    timeline.modality[own] = Modality.VIDEO
    if geometry.grid is not None and math.prod(geometry.grid) == len(own):
        layout.place_patches(timeline, own, geometry.grid, Modality.VIDEO)
    else:
        _place_frames(timeline, region, loaded, geometry)
    count, groups = len(video.seconds), int(timeline.frame[own].max(initial=0)) + 1
    together = next(
        (
            n
            for n in (geometry.together, math.ceil(count / groups))
            if n and -(-count // n) == groups
        ),
        0,
    )
    if not together:
        raise SampleError(
            f"the model's processor lays the {count} frames of {loaded.medium.name} out in "
            f"{groups} groups, so that their seconds cannot be told: take more frames a second."
        )
    edges = np.array([*video.seconds[::together], video.duration_s], np.float64)
    lengths = edges[1:] - edges[:-1]
    frame = timeline.frame[own]
    layout.place_seconds(timeline, own, edges[frame], lengths[frame], video.duration_s)


def _place_frames(timeline: Timeline, region: Region, loaded: Loaded, geometry: Geometry) -> None:
    """A run of tokens a frame, or all frames in one run, maybe with one token behind them."""
    assert loaded.video is not None
    runs = region.runs
    count, frames = len(region.own), len(loaded.video.seconds)
    if len(runs) == 1 and count >= frames and count % frames in (0, 1):
        tokens_each = count // frames
        cuts = [*range(0, frames * tokens_each, tokens_each), count]
        runs = tuple(region.own[a:b] for a, b in pairwise(cuts))
    whole = ((geometry.side, geometry.side),) * len(runs)
    shapes = geometry.shapes if len(geometry.shapes) == len(runs) else whole
    for number, (run, (rows, columns)) in enumerate(zip(runs, shapes, strict=True)):
        timeline.frame[run] = number
        if rows and len(run) - rows * columns in (0, 1):
            index = np.minimum(np.arange(len(run)), rows * columns - 1)
            timeline.row[run], timeline.column[run] = np.divmod(index, columns)


def place_audio(timeline: Timeline, region: Region, duration: float, token_seconds: float) -> None:
    """Fill in the seconds of audio tokens, `token_seconds` each.

    Tokens behind the end of the audio stand for the silence that a processor appends: special.
    """
    starts = np.arange(len(region.own), dtype=np.float64) * token_seconds
    starts = starts[starts < duration]
    tokens = region.own[: len(starts)]
    timeline.modality[tokens] = Modality.AUDIO
    layout.place_seconds(timeline, tokens, starts, token_seconds, duration)


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
    """Tiles of one shape side by side on one grid, and copies of the whole image on top of them."""
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
