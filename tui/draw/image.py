"""Images in half cells: `▀` with two colours is two pixels, so a heat map blends with an image.

Knows colours and arrays; no file and no trace.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from rich.color import Color as RichColor
from rich.style import Style
from textual.color import Color

from tui.draw.lines import Piece

Pixels = npt.NDArray[np.uint8]
Heat = npt.NDArray[np.float32]

SHADES = " ░▒▓█"
"""A heat map without colour."""


def heated(pixels: Pixels | None, heat: Heat, page: Color, hue: Color) -> Pixels:
    """(rows, columns, 3): an image, dim where `heat` is 0, with a tint of `hue` where it is 1.

    `heat` (rows, columns) from 0 to 1. Without an image the heat map alone, from page to hue.
    """
    cold, hot = (np.array(c.rgb, np.float32) for c in (page, hue))
    share = heat[..., None].astype(np.float32)
    if pixels is None:
        mixed = cold + (hot - cold) * (0.08 + 0.92 * share)
    else:
        dim = cold + (pixels - cold) * 0.35
        mixed = dim + (pixels * 0.8 + hot * 0.2 - dim) * share
    return np.clip(mixed, 0, 255).astype(np.uint8)


def stretched(grid: Heat, rows: int, columns: int) -> Heat:
    """(rows, columns): a grid of patches as pixels, each with the value of its patch."""
    if not grid.size:
        return np.zeros((rows, columns), np.float32)
    down = np.arange(rows) * grid.shape[0] // rows
    across = np.arange(columns) * grid.shape[1] // columns
    spread: Heat = grid[down[:, None], across[None, :]]
    return spread


def half_cells(pixels: Pixels, row: int) -> Iterable[Piece]:
    """Row `row` of cells: pixel rows 2·row and 2·row + 1."""
    top = pixels[2 * row]
    under = pixels[2 * row + 1] if 2 * row + 1 < len(pixels) else top
    for upper, lower in zip(top.tolist(), under.tolist(), strict=True):
        yield "▀", Style(color=RichColor.from_rgb(*upper), bgcolor=RichColor.from_rgb(*lower))


def shades(heat: Heat, row: int, style: Style) -> Iterable[Piece]:
    """The same row without colour: the heat of its two pixels in one shade."""
    shown = heat[2 * row : 2 * row + 2].mean(axis=0)
    steps = np.round(shown * (len(SHADES) - 1)).astype(int).tolist()
    yield "".join(SHADES[step] for step in steps), style
