"""Where in a medium the scores fall: heat maps of an image's patches, mass over a medium's seconds.

Arrays in, arrays and small PNG images out. Knows no page and no attribution.
"""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from omnitrace.arrays import Float64
from omnitrace.trace import Trace

SHADES = 16
MOST_BINS = 120
_MOST_OPAQUE = 0.85


@dataclass(frozen=True)
class MassOverTime:
    """Mass over time: `mass` (B,) in bins of `seconds` that begin at 0."""

    mass: Float64
    seconds: float


def token_means(scores: Float64, steps: tuple[int, int], n: int) -> Float64:
    """(n,): the mean score of each prompt token over steps [first, last) of `scores` (T, n+T)."""
    chosen = scores[slice(*steps), :n]
    mean: Float64 = chosen.mean(axis=0) if len(chosen) else np.zeros(n)
    return mean


def grid_shape(trace: Trace, medium: int) -> tuple[int, int] | None:
    """Rows and columns of a medium's patch grid; None if its tokens have no place."""
    line = trace.timeline
    own = (line.medium == medium) & (line.row >= 0) & (line.column >= 0)
    if not own.any():
        return None
    return int(line.row[own].max()) + 1, int(line.column[own].max()) + 1


def patch_heat_map(trace: Trace, medium: int, means: Float64) -> Float64:
    """(rows, columns): the scores of each patch of an image, from `means` (n,)."""
    line = trace.timeline
    own = (line.medium == medium) & (line.row >= 0) & (line.column >= 0)
    heat = np.zeros(grid_shape(trace, medium) or (1, 1))
    np.add.at(heat, (line.row[own], line.column[own]), means[own])
    return heat


def mass_over_time(trace: Trace, medium: int, duration: float, means: Float64) -> MassOverTime:
    """The scores of a medium's tokens by the time of their middle; at most 120 bins."""
    line = trace.timeline
    own = (line.medium == medium) & np.isfinite(line.start_s)
    seconds = max(1.0, float(ceil(duration / MOST_BINS)))
    bins = max(1, ceil(duration / seconds - 1e-6))
    middle = (line.start_s[own] + line.end_s[own]) / 2
    at = np.clip((middle / seconds).astype(int), 0, bins - 1)
    return MassOverTime(np.bincount(at, means[own], bins).astype(np.float64), seconds)


def heat_map_png(heat: Float64, top: float, colour: str) -> str:
    """An image of one pixel a patch, `colour` (#rrggbb) ever less transparent up to `top`.

    Returns a data URI of an indexed PNG.
    """
    share = heat / top if top > 0 else np.zeros_like(heat)
    index = np.round(np.clip(share, 0, 1) * (SHADES - 1)).astype(np.uint8)
    palette = bytes.fromhex(colour.removeprefix("#")) * SHADES
    alpha = bytes(round(255 * _MOST_OPAQUE * k / (SHADES - 1)) for k in range(SHADES))
    return "data:image/png;base64," + base64.b64encode(_png(index, palette, alpha)).decode("ascii")


def _png(index: npt.NDArray[np.uint8], palette: bytes, alpha: bytes) -> bytes:
    """An indexed PNG (colour type 3) of (rows, columns) palette numbers."""
    rows, columns = index.shape
    unfiltered = np.zeros((rows, columns + 1), np.uint8)
    unfiltered[:, 1:] = index
    head = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", head),
        (b"PLTE", palette),
        (b"tRNS", alpha),
        (b"IDAT", zlib.compress(unfiltered.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
