"""How a processor has laid out the images and videos of a prompt, as far as its output says so.

Knows the names under which transformers' processors and configurations say it; no tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from recorder.models.grids import Shape
from recorder.models.placing import Geometry
from recorder.models.processing import Processed


class Layouts:
    """The layouts of a prompt's media of one kind, taken in the order of the media.

    A processor gives one grid of frames, rows and columns a medium (`image_grid_thw`), or one shape
    a run of tokens (`spatial_shapes`, `image_position_ids`); others take every image at one size.
    """

    def __init__(self, processor: Any, config: Any, processed: Processed, kind: str) -> None:
        owner = getattr(processor, f"{kind}_processor", processor)
        self._merge = int(getattr(owner, "merge_size", None) or 1)
        self._together = int(getattr(owner, "temporal_patch_size", None) or 0)
        self._grids = _rows(processed.inputs.get(f"{kind}_grid_thw"))
        self._shapes = _run_shapes(processed, kind)
        self._side = side_of(processor, config)
        self._by_row = getattr(processor, "image_break_token", None) is not None
        self._tilings = _tilings(config) if kind == "image" else ()
        self._media = self._runs = 0

    def next(self, lengths: Sequence[int]) -> Geometry:
        """The next medium's, whose tokens are runs of these lengths."""
        number, first = self._media, self._runs
        self._media, self._runs = number + 1, first + len(lengths)
        grid = None
        if number < len(self._grids):
            frames, rows, columns = self._grids[number]
            grid = (frames, rows // self._merge, columns // self._merge)
        shapes = self._shapes[first : self._runs]
        merged = [_merged(shape, n) for shape, n in zip(shapes, lengths, strict=False)]
        found = tuple(shape for shape in merged if shape is not None)
        if len(found) != len(lengths):
            found = ()
        return Geometry(grid, self._side, found, self._by_row, self._tilings, self._together)


def side_of(processor: Any, config: Any) -> int:
    """Tokens that an image or tile of one size is high and wide; 0 if that is not known."""
    named = [
        getattr(owner, name, None)
        for owner, name in [
            (processor, "image_seq_length"),
            (processor, "image_seq_len"),
            (processor, "num_image_tokens"),
            (config, "mm_tokens_per_image"),
        ]
    ]
    vision = getattr(config, "vision_config", None)
    size, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
    if isinstance(size, int) and isinstance(patch, int):
        ratio = getattr(vision, "pixel_shuffle_ratio", None) or 1
        named.append(round(size // patch * ratio) ** 2)
    counts = [n for n in named if isinstance(n, int) and n > 0 and math.isqrt(n) ** 2 == n]
    return math.isqrt(counts[0]) if counts else 0


def _tilings(config: Any) -> tuple[Shape, ...]:
    """Into how many rows and columns of tiles an image may be cut, () if unknown."""
    points = getattr(config, "image_grid_pinpoints", None) or ()
    tile = getattr(getattr(config, "vision_config", None), "image_size", None)
    if not isinstance(tile, int):
        return ()
    return tuple((height // tile, width // tile) for height, width in points)


def _rows(values: torch.Tensor | None) -> list[Any]:
    return [] if values is None else values.tolist()


def _run_shapes(processed: Processed, kind: str) -> list[Shape]:
    """Rows and columns of patches of each image, tile or frame, before patches are merged."""
    if kind == "image" and "spatial_shapes" in processed.inputs:
        return [(int(h), int(w)) for h, w in processed.inputs["spatial_shapes"].tolist()]
    positions = processed.inputs.get(f"{kind}_position_ids")  # (images, patches, 2): column, row
    if not isinstance(positions, torch.Tensor) or positions.dim() != 3:
        return []
    return [(int(row) + 1, int(column) + 1) for column, row in positions.amax(dim=1).tolist()]


def _merged(patches: Shape, count: int) -> Shape | None:
    """The shape of `count` tokens that each are a square of patches; None if there is none."""
    factor = math.isqrt(patches[0] * patches[1] // max(1, count))
    if not factor:
        return None
    shape = (patches[0] // factor, patches[1] // factor)
    return shape if shape[0] * shape[1] == count else None
