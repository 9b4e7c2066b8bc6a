"""Every style of the browser, by theme: the hue is the modality, the strength the confidence.

Computed from a theme's background and text colour, so each Textual theme, light or dark, works.
The hues are from the palette of Okabe and Ito, which colour-blind people can distinguish; letters
repeat them without colour. Knows no trace and no widget.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from rich.style import Style
from textual.color import Color

from omnitrace.arrays import Float32, Int32
from omnitrace.timeline import Modality

if TYPE_CHECKING:
    from textual.app import App

LEVELS = 12
LETTERS = {
    Modality.TEXT: "T",
    Modality.IMAGE: "I",
    Modality.AUDIO: "A",
    Modality.VIDEO: "V",
    Modality.SPECIAL: "·",
}
_HUES = {
    Modality.TEXT: Color.parse("#56b4e9"),
    Modality.IMAGE: Color.parse("#d977b0"),
    Modality.AUDIO: Color.parse("#e69f00"),
    Modality.VIDEO: Color.parse("#14b886"),
    Modality.SPECIAL: Color.parse("#9a9a9a"),
}
_BLACK, _WHITE = Color(0, 0, 0), Color(255, 255, 255)
_READABLE = 4.5  # WCAG 2.2 contrast of ordinary text


@dataclass(frozen=True)
class Palette:
    """The styles of one theme. `token[modality][level]`, `ink[modality]`, `bar[modality]`."""

    token: dict[Modality, tuple[Style, ...]]
    ink: dict[Modality, Style]
    bar: dict[Modality, Style]
    hue: dict[Modality, Color]
    page: Color
    plain: Style
    strong: Style
    dim: Style
    cursor: Style
    pinned: Style
    chosen: Style
    error: Style


def levels(confidence: Float32, strength: float = 1.0) -> Int32:
    """(T,) int32 levels in [0, LEVELS) of (T,) confidences, relative to this sample's; a
    `strength` above 1 lifts the weak ones.

    The 95th percentile is full strength: what a mass can reach depends on the signal and the
    reduce, so that only a comparison within a sample is meaningful.
    """
    known = confidence[np.isfinite(confidence)]
    top = float(np.quantile(known, 0.95)) if len(known) else 0.0
    share = np.nan_to_num(confidence / top if top > 0 else confidence * 0)
    lifted = np.clip(share, 0, 1) ** (1 / strength)
    found: Int32 = np.round(lifted * (LEVELS - 1)).astype(np.int32)
    return found


def palette_of(app: App[None]) -> Palette:
    """The palette of the app's current theme."""
    colours = app.theme_variables
    return _palette(colours["background"], colours["foreground"], app.current_theme.dark)


@lru_cache(maxsize=8)
def _palette(background: str, foreground: str, dark: bool) -> Palette:
    page = _opaque(background, _BLACK if dark else _WHITE)
    text = _opaque(foreground, _WHITE if dark else _BLACK)
    track = page.blend(text, 0.10)
    ink = {modality: _readable(hue, page) for modality, hue in _HUES.items()}
    return Palette(
        token={modality: _ramp(hue, page, text) for modality, hue in _HUES.items()},
        ink={modality: _style(colour, bold=True) for modality, colour in ink.items()},
        bar={m: _style(hue if dark else ink[m], track) for m, hue in _HUES.items()},
        hue=_HUES,
        page=page,
        plain=_style(text),
        strong=_style(text, bold=True),
        dim=_style(_readable(text.blend(page, 0.5), page)),
        cursor=_style(page, text, bold=True),
        pinned=_style(page, text.blend(page, 0.45), bold=True),
        chosen=_style(text, page.blend(text, 0.14), bold=True),
        error=_style(_readable(Color.parse("#e5484d"), page), bold=True),
    )


def _ramp(hue: Color, page: Color, text: Color) -> tuple[Style, ...]:
    backs = [page.blend(hue, share) for share in np.linspace(0.10, 0.80, LEVELS)]
    return tuple(_style(_over(back, text), back) for back in backs)


def _over(back: Color, text: Color) -> Color:
    """The theme's text colour where it can be read on `back`, else black or white."""
    if contrast(text, back) >= _READABLE:
        return text
    return max(_BLACK, _WHITE, key=lambda colour: contrast(colour, back))


def _readable(colour: Color, page: Color) -> Color:
    """`colour`, moved away from `page` until it can be read on it."""
    away = max(_BLACK, _WHITE, key=lambda end: contrast(end, page))
    shades = (colour.blend(away, share) for share in np.linspace(0, 1, 21))
    return next(shade for shade in shades if contrast(shade, page) >= _READABLE)


def contrast(one: Color, other: Color) -> float:
    """WCAG 2.2 contrast ratio, 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Color) -> float:
    parts = np.array([colour.r, colour.g, colour.b]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _opaque(text: str, fallback: Color) -> Color:
    """A theme's colour; the fallback where the theme leaves it to the terminal."""
    colour = Color.parse(text)
    return fallback if colour.ansi is not None else fallback.blend(colour, colour.a).with_alpha(1.0)


def _style(colour: Color, back: Color | None = None, bold: bool = False) -> Style:
    return Style(
        color=colour.rich_color, bgcolor=back.rich_color if back else None, bold=bold or None
    )
