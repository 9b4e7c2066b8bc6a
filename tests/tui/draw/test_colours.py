from __future__ import annotations

import numpy as np
import pytest
from rich.color import ColorType
from rich.style import Style
from textual.app import App
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from omnitrace.timeline import Modality
from tui.draw.colours import LETTERS, LEVELS, Palette, contrast, levels, palette_of


def palette(theme: str) -> Palette:
    app: App[None] = App()
    app.theme = theme
    return palette_of(app)


def colour(style: Style, ground: bool = False) -> Color:
    found = style.bgcolor if ground else style.color
    assert found is not None
    assert found.type == ColorType.TRUECOLOR
    assert found.triplet is not None
    return Color(*found.triplet)


@pytest.mark.parametrize("theme", BUILTIN_THEMES)
def test_tokens_can_be_read_in_every_theme(theme: str) -> None:
    ramps = palette(theme).token.values()
    assert all(contrast(colour(s), colour(s, True)) >= 4.5 for ramp in ramps for s in ramp)


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "nord"])
def test_strength_grows_away_from_the_page(theme: str) -> None:
    for ramp in palette(theme).token.values():
        page = colour(palette(theme).cursor)
        far = [contrast(colour(style, True), page) for style in ramp]
        assert far == sorted(far)


def test_modalities_have_their_own_letter_and_hue() -> None:
    assert len({*LETTERS.values()}) == len(Modality)
    ink = palette("textual-dark").ink
    assert len({style.color for style in ink.values()}) == len(Modality)


def test_levels_compare_within_a_sample() -> None:
    low, high = levels(np.array([0.0, 1.0], np.float32))
    assert (low, high) == (0, LEVELS - 1)
    scaled = levels(np.linspace(0, 1e-4, 50, dtype=np.float32))
    assert scaled.tolist() == levels(np.linspace(0, 1, 50, dtype=np.float32)).tolist()


@pytest.mark.parametrize("confidence", [[], [0.0, 0.0], [np.nan, 0.5]])
def test_levels_of_odd_confidences_are_legal(confidence: list[float]) -> None:
    found = levels(np.array(confidence, np.float32))
    assert ((found >= 0) & (found < LEVELS)).all()
    assert len(found) == len(confidence)
