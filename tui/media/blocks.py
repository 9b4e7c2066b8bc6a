"""One medium as rows of cells: its image, frames or waveform, with its mass as a heat map.

Pure functions from a trace, the scores of its tokens and decoded media to rows. Knows no widget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len
from rich.style import Style

from omnitrace import Trace
from omnitrace.arrays import Float32, Int64, UInt8
from omnitrace.timeline import Modality
from omnitrace.units import Units
from tui.draw.colours import LETTERS, LEVELS, Palette
from tui.draw.image import blend_heat, half_cells, resize_grid, shades
from tui.draw.layout import clip
from tui.draw.lines import Piece, heights
from tui.media.heat_map import over_patches, over_time, relative, seconds_of, tokens_of_medium
from tui.trace.names import describe, number

Row = Callable[[Palette], Iterable[Piece]]

_MOST_COLUMNS, _MOST_ROWS = 48, 10  # cells of an image
_FRAME_COLUMNS, _FRAME_ROWS = 12, 4  # cells of a frame in a strip


@dataclass(frozen=True)
class Decoded:
    """A decoded medium: its image or strip of frames, its loudness; or why there is `missing`."""

    pixels: UInt8 | None = None
    loudness: Float32 | None = None
    missing: str = ""


@dataclass(frozen=True)
class Scene:
    """The input of a drawing: `row` (n,) the scores of some steps, `top` the largest on any medium;
    the unit that they are `mapped` to, those `kept` by their span; `colour`: False for shades."""

    trace: Trace
    units: Units
    row: Float32
    top: float
    mapped: int
    kept: frozenset[int]
    colour: bool = True

    def looks_like(self, other: Scene | None) -> bool:
        """Whether both give the same drawing; arrays are compared by identity."""
        return (
            other is not None
            and self.units is other.units
            and self.row is other.row
            and (self.mapped, self.kept, self.colour) == (other.mapped, other.kept, other.colour)
        )


def image_cells(trace: Trace, medium: int, width: int) -> tuple[int, int]:
    """Columns and rows of cells for an image in `width` cells: its shape, two pixels to a cell."""
    known = trace.media[medium]
    ratio = (known.height or 1) / (known.width or 1)
    columns = max(2, min(width, _MOST_COLUMNS))
    rows = max(1, round(columns * ratio / 2))
    if rows > _MOST_ROWS:
        rows, columns = _MOST_ROWS, max(2, min(columns, round(_MOST_ROWS * 2 / ratio)))
    return columns, rows


def strip_cells(trace: Trace, medium: int, width: int) -> tuple[int, int, tuple[float, ...]]:
    """Columns and rows of cells of a frame in a video's strip, and the seconds of the frames."""
    count = max(1, width // _FRAME_COLUMNS)
    seconds = seconds_of(trace, medium)
    times = tuple((np.arange(count) + 0.5) * seconds / count)
    return width // count, _FRAME_ROWS, times


def time_cells(trace: Trace, medium: int, width: int) -> int:
    """The cells of the time axis of a medium in `width`: for a video those of its frames."""
    if trace.media[medium].kind != "video":
        return width - 2
    columns, _, times = strip_cells(trace, medium, width - 2)
    return columns * len(times)


def block(scene: Scene, medium: int, decoded: Decoded, width: int) -> list[Row]:
    """The rows of one medium."""
    kind = scene.trace.media[medium].kind
    rows = [_title(scene, medium, width)]
    if kind == "image":
        rows += _image(scene, medium, decoded, width)
    if kind == "video":
        rows += _video(scene, medium, decoded, width)
    if len(tokens_of_medium(scene.trace, medium, audio=True)):
        rows += _audio(scene, medium, decoded, width)
    if kind != "image":
        rows += _time(scene, medium, width)
    if decoded.missing:
        rows.append(lambda palette: [(f" {clip(decoded.missing, width - 1)}", palette.dim)])
    return [*rows, lambda palette: ()]


def _title(scene: Scene, medium: int, width: int) -> Row:
    known, units = scene.trace.media[medium], scene.units
    own = np.flatnonzero(units.medium == medium).tolist()
    sign = "▸" if scene.mapped in own else "✓" if scene.kept & {*own} else " "
    mass = float(scene.row[scene.trace.timeline.medium == medium].sum())
    modality = Modality[known.kind.upper()]

    def draw(palette: Palette) -> Iterable[Piece]:
        yield f"{sign} ", palette.strong
        yield f"{LETTERS[modality]} ", palette.ink[modality]
        text = clip(describe(known), width - 12)
        yield text + " " * (width - 12 - cell_len(text)), palette.plain
        yield f" {number(mass)}", palette.strong

    return draw


def _image(scene: Scene, medium: int, decoded: Decoded, width: int) -> list[Row]:
    columns, rows = image_cells(scene.trace, medium, width - 2)
    grid = over_patches(scene.trace, tokens_of_medium(scene.trace, medium), scene.row)
    heat = resize_grid(relative(grid, scene.top), 2 * rows, columns)
    return _pixels(scene, heat, decoded.pixels, Modality.IMAGE)


def _video(scene: Scene, medium: int, decoded: Decoded, width: int) -> list[Row]:
    """Frames, each with the mass of its time, then the mass along it."""
    columns, rows, times = strip_cells(scene.trace, medium, width - 2)
    cells = columns * len(times)
    tokens = tokens_of_medium(scene.trace, medium)
    seconds = seconds_of(scene.trace, medium)
    course = over_time(scene.trace, tokens, scene.row, seconds, cells)
    if decoded.pixels is None:
        return [_mass(scene, course, Modality.VIDEO)]
    pixels = np.zeros((2 * rows, cells, 3), np.uint8)
    shown = decoded.pixels[: 2 * rows, :cells]
    pixels[: shown.shape[0], : shown.shape[1]] = shown
    by_frame = course.reshape(len(times), columns).sum(axis=1)
    share = relative(by_frame, float(by_frame.max(initial=0.0))) * _weight(scene, tokens)
    heat = np.broadcast_to(np.repeat(share, columns), (2 * rows, cells))
    return [
        *_pixels(scene, np.ascontiguousarray(heat), pixels, Modality.VIDEO),
        _mass(scene, course, Modality.VIDEO),
    ]


def _audio(scene: Scene, medium: int, decoded: Decoded, width: int) -> list[Row]:
    """The waveform, coloured by the mass; the mass alone where there is none."""
    cells, seconds = time_cells(scene.trace, medium, width), seconds_of(scene.trace, medium)
    tokens = tokens_of_medium(scene.trace, medium, audio=True)
    course = over_time(scene.trace, tokens, scene.row, seconds, cells)
    rows = [_mass(scene, course, Modality.AUDIO)]
    if decoded.loudness is not None:
        share = relative(course, float(course.max(initial=0.0))) * _weight(scene, tokens)
        rows.insert(0, _wave(share[: len(decoded.loudness)], decoded.loudness[:cells]))
    return rows


def _pixels(scene: Scene, heat: Float32, pixels: UInt8 | None, modality: Modality) -> list[Row]:
    def row(at: int) -> Row:
        def draw(palette: Palette) -> Iterable[Piece]:
            yield "  ", palette.plain
            if scene.colour:
                hue = palette.hue[modality]
                yield from half_cells(blend_heat(pixels, heat, palette.page, hue), at)
            else:
                yield from shades(heat, at, palette.plain)

        return draw

    return [row(at) for at in range(len(heat) // 2)]


def _mass(scene: Scene, course: Float32, modality: Modality) -> Row:
    """Mass along time, 1 cell high, full at the largest of this medium."""
    shares = relative(course, float(course.max(initial=0.0))).tolist()
    return lambda palette: [
        ("  ", palette.plain),
        (heights(shares), palette.bar[modality]),
    ]


def _weight(scene: Scene, tokens: Int64) -> np.float32:
    """The largest score of these tokens relative to that of all media, from 0 to 1."""
    own = float(scene.row[tokens].max(initial=0.0))
    return np.float32(own / scene.top if scene.top > 0 else 0.0)


def _wave(share: Float32, loudness: Float32) -> Row:
    levels = np.round(share * (LEVELS - 1)).astype(int).tolist()
    marks = heights(np.maximum(loudness, 0.06).tolist())

    def draw(palette: Palette) -> Iterable[Piece]:
        yield "  ", palette.plain
        for mark, level in zip(marks, levels, strict=True):
            back = palette.token[Modality.AUDIO][level].bgcolor
            yield mark, Style.combine((palette.strong, Style(bgcolor=back)))

    return draw


def _time(scene: Scene, medium: int, width: int) -> list[Row]:
    """The units along the medium: where each begins, `▸` the mapped, `✓` the kept; its words."""
    cells, seconds = time_cells(scene.trace, medium, width), seconds_of(scene.trace, medium)
    units = scene.units
    own = [u for u in np.flatnonzero(units.medium == medium).tolist() if units.start_s[u] >= 0]
    if seconds <= 0 or not own:
        return []
    marks, words = [" "] * cells, [" "] * cells
    for unit in sorted(own, key=lambda unit: float(units.start_s[unit])):
        at = min(int(units.start_s[unit] / seconds * cells), cells - 1)
        room = max(1, int((units.end_s[unit] - units.start_s[unit]) / seconds * cells))
        sign = "▸" if unit == scene.mapped else "✓" if unit in scene.kept else "╵"
        _write(marks, at, sign + (f"{units.start_s[unit]:g}" if room > 4 else ""))
        text = clip(units.text[unit] or "", room - 1) if room > 2 else ""
        if text.isascii() or cell_len(text) == len(text):
            _write(words, at, text)
    rows = ["".join(marks), *(["".join(words)] if "".join(words).strip() else [])]
    return [_plain(f"  {row}") for row in rows]


def _write(cells: list[str], at: int, text: str) -> None:
    for offset, character in enumerate(text[: len(cells) - at]):
        cells[at + offset] = character


def _plain(text: str) -> Row:
    return lambda palette: [(text, palette.dim)]
