"""Heat maps: the scores of single prompt tokens over the patches and the time of their media.

Pure functions over numpy arrays. Knows no widget.
"""

from __future__ import annotations

import numpy as np

from omnitrace import Trace
from omnitrace.arrays import Float32, Int64
from omnitrace.timeline import Modality


def tokens_of_medium(trace: Trace, medium: int, audio: bool = False) -> Int64:
    """The prompt tokens of a medium's image or frames, or (`audio`) of its audio."""
    line = trace.timeline
    return np.flatnonzero((line.medium == medium) & ((line.modality == Modality.AUDIO) == audio))


def over_patches(trace: Trace, tokens: Int64, row: Float32) -> Float32:
    """(rows, columns) float32: the score of each patch, summed over frames; empty without any."""
    line = trace.timeline
    tokens = tokens[line.row[tokens] >= 0]
    if not len(tokens):
        return np.zeros((0, 0), np.float32)
    shape = int(line.row[tokens].max()) + 1, int(line.column[tokens].max()) + 1
    grid = np.zeros(shape, np.float32)
    np.add.at(grid, (line.row[tokens], line.column[tokens]), row[tokens])
    return grid


def over_time(trace: Trace, tokens: Int64, row: Float32, seconds: float, cells: int) -> Float32:
    """(cells,) float32: the scores of the tokens over equal parts of `seconds`."""
    line = trace.timeline
    tokens = tokens[~np.isnan(line.start_s[tokens])]
    if seconds <= 0 or not len(tokens):
        return np.zeros(cells, np.float32)
    first = np.clip(line.start_s[tokens] / seconds * cells, 0, cells - 1).astype(int)
    last = np.ceil(np.clip(line.end_s[tokens] / seconds * cells, 0, cells) - 1e-9).astype(int)
    last = np.maximum(last, first + 1)
    change = np.zeros(cells + 1)
    density = row[tokens] / (last - first)
    np.add.at(change, first, density)
    np.add.at(change, last, -density)
    spread: Float32 = np.maximum(np.cumsum(change)[:-1], 0).astype(np.float32)
    return spread


def seconds_of(trace: Trace, medium: int) -> float:
    """The duration of a medium: as recorded, else the end of its last token; 0 for images."""
    known = trace.media[medium].duration_s
    if known is not None:
        return known
    ends = trace.timeline.end_s[trace.timeline.medium == medium]
    return float(np.nanmax(ends, initial=0.0)) if np.isfinite(ends).any() else 0.0


def relative(values: Float32, top: float) -> Float32:
    """Scores relative to `top`, the largest, from 0 to 1."""
    shared: Float32 = np.clip(values / top if top > 0 else values * 0, 0, 1).astype(np.float32)
    return shared
