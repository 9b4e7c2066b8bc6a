"""The tokens of one medium on the timeline: patches of images, seconds of videos and audio.

Knows how many tokens a medium became and what stands between them; no model and no processor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from omnitrace.arrays import Int32
from omnitrace.errors import SampleError
from omnitrace.timeline import Modality, Timeline
from recorder.inputs.loaded import Loaded
from recorder.models import layout
from recorder.models.grids import Runs, Shape, places
from recorder.models.layout import Indices
from recorder.models.offsets import Decode


@dataclass(frozen=True)
class Region:
    """The tokens of one medium, (k,) indices into the prompt: `own` those whose embeddings are the
    medium's, `runs` each unbroken run of these, `marks` the text before each run."""

    own: Indices
    runs: tuple[Indices, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Geometry:
    """What a processor says of how it lays out one image or video: `grid`, frames, rows and columns
    of tokens; `together`, how many frames share tokens, 0 if unknown; `side`, `shapes`,
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

    A group of frames lasts from its first frame to the next group's. SampleError where it cannot
    be told which frames share tokens.
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
        each = count // frames
        cuts = [*range(0, frames * each, each), count]
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
    heard = region.own[: len(starts)]
    timeline.modality[heard] = Modality.AUDIO
    layout.place_seconds(timeline, heard, starts, token_seconds, duration)
