"""Images in half cells: `▀` with two colours is two pixels, so a heat map blends with an image.

Knows colours and arrays; no file and no trace.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from rich.color import Color as RichColor
from rich.style import Style
from textual.color import Color

from omnitrace.arrays import Float32, UInt8
from tui.draw.lines import Piece

SHADES = " ░▒▓█"
"""A heat map without colour."""


def blend_heat(pixels: UInt8 | None, heat: Float32, page: Color, hue: Color) -> UInt8:
    """(rows, columns, 3): an image, dim where `heat` is 0, with a tint of `hue` where it is 1.

    `heat` (rows, columns) from 0 to 1. Without an image the heat map alone, from page to hue.
    """
    low, high = (np.array(c.rgb, np.float32) for c in (page, hue))
    share = heat[..., None].astype(np.float32)
    if pixels is None:
        mixed = low + (high - low) * (0.08 + 0.92 * share)
    else:
        dim = low + (pixels - low) * 0.35
        mixed = dim + (pixels * 0.8 + high * 0.2 - dim) * share
    return np.clip(mixed, 0, 255).astype(np.uint8)


def resize_grid(grid: Float32, rows: int, columns: int) -> Float32:
    """(rows, columns): a grid of patches as pixels, each with the value of its patch."""
    if not grid.size:
        return np.zeros((rows, columns), np.float32)
    down = np.arange(rows) * grid.shape[0] // rows
    across = np.arange(columns) * grid.shape[1] // columns
    spread: Float32 = grid[down[:, None], across[None, :]]
    return spread


def half_cells(pixels: UInt8, row: int) -> Iterable[Piece]:
    """Row `row` of cells: pixel rows 2·row and 2·row + 1."""
    top = pixels[2 * row]
    under = pixels[2 * row + 1] if 2 * row + 1 < len(pixels) else top
    for upper, lower in zip(top.tolist(), under.tolist(), strict=True):
        yield "▀", Style(color=RichColor.from_rgb(*upper), bgcolor=RichColor.from_rgb(*lower))


def shades(heat: Float32, row: int, style: Style) -> Iterable[Piece]:
    """The same row without colour: the heat of its two pixels in one shade."""
    shown = heat[2 * row : 2 * row + 2].mean(axis=0)
    steps = np.round(shown * (len(SHADES) - 1)).astype(int).tolist()
    yield "".join(SHADES[step] for step in steps), style
