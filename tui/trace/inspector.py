"""What stands around the tokens: which sample is read, and all that is known of one step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len

from omnitrace import Trace
from omnitrace.timeline import Modality
from replay import Attribution
from tui.draw.colours import LETTERS, Palette
from tui.draw.layout import clip, visible
from tui.draw.lines import Lines, Piece, heights
from tui.trace.names import name, number, spell, token_name
from tui.trace.rows import Depth


@dataclass(frozen=True)
class Place:
    """Where the reader is: a sample among `count`, under a configuration of this name, beside
    another, if `beside` names one."""

    id: str
    number: int
    count: int
    config: str
    beside: str | None = None


class Heading(Lines, can_focus=False):
    """Which sample, how long, under which configuration; what the letters and hues mean."""

    def show_place(self, place: Place, sizes: tuple[int, int] | None = None) -> None:
        """`sizes`: prompt tokens and generated ones, once they are known."""
        known = f"n {sizes[0]:,}  T {sizes[1]:,}  " if sizes else ""
        against = f"A {place.config}  B {place.beside}" if place.beside else place.config
        right = f"{known}{against}  {place.number}/{place.count} "

        def draw(row: int, width: int, palette: Palette) -> Iterable[Piece]:
            legend = [(LETTERS[m], f" {m.label}  ", palette.ink[m]) for m in list(Modality)[:4]]
            room = width - len(right) - sum(len(label) + 1 for _, label, _ in legend) - 3
            id = clip(place.id, max(8, room))
            yield f" {id}  ", palette.strong
            for letter, label, style in legend if room >= 8 else ():
                yield letter, style
                yield label, palette.dim
            used = width - room - 3 if room >= 8 else len(right)
            yield " " * (width - used - cell_len(id) - 3), palette.plain
            yield right, palette.dim

        self.show(1, draw)


@dataclass(frozen=True)
class Inspected:
    """Some steps that are read together, half-open, the unit that they are traced to, and the
    span that holds them."""

    trace: Trace
    attribution: Attribution
    steps: tuple[int, int]
    unit: int
    k: int | None


class Inspector(Lines, can_focus=False):
    """What was said, how it was traced, the prompt tokens and the layers that it came from."""

    _inspected: Inspected | None = None
    _depth: Depth | None = None

    def inspect(self, inspected: Inspected) -> None:
        """Show some steps."""
        if self._depth and self._depth.steps != inspected.steps:
            self._depth = None
        self._inspected = inspected
        self._show()

    def deepen(self, depth: Depth) -> None:
        """Show what is known below the units, if it is still of the steps that are shown."""
        if self._inspected and self._inspected.steps == depth.steps:
            self._depth = depth
            self._show()

    def say(self, text: str, wrong: bool = False) -> None:
        self._inspected = self._depth = None
        super().say(text, wrong)

    def _show(self) -> None:
        shown = self._inspected
        if shown is None:
            return
        layered = self._depth is not None and self._depth.profile is not None
        rows = [_said, _numbers, _top, *([_layers] if layered else [])]

        def draw(row: int, width: int, palette: Palette) -> Iterable[Piece]:
            yield " ", palette.plain
            yield from rows[row](shown, self._depth, width - 1, palette)

        self.show(len(rows), draw)


def _said(shown: Inspected, _: Depth | None, width: int, palette: Palette) -> Iterable[Piece]:
    trace, (first, last) = shown.trace, shown.steps
    text = trace.response[trace.chars[first, 0] : trace.chars[last - 1, 1]]
    span = f" · span {shown.k + 1}" if shown.k is not None else ""
    one = f"id {trace.response_ids[first]} · {visible(trace.pos[first])}"
    read = f"step {first + 1}" if last - first == 1 else f"steps {first + 1}–{last}"
    said = f"{read} of {trace.T}" + (f" · {one}" if last - first == 1 else "") + span
    yield f"“{clip(spell(text), width - len(said) - 4)}”", palette.strong
    yield f"  {said}", palette.dim


def _numbers(shown: Inspected, _: Depth | None, width: int, palette: Palette) -> Iterable[Piece]:
    attribution, steps = shown.attribution, slice(*shown.steps)
    numbers = [
        ("confidence", number(float(attribution.confidence[steps].mean())).strip()),
        ("vote", number(float(attribution.vote[steps].sum())).strip()),
        ("log p", f"{shown.trace.logprob[steps].sum():.2f}"),
        ("entropy", f"{shown.trace.entropy[steps].mean():.2f}"),
    ]
    for label, value in numbers:
        yield f"{label} ", palette.dim
        yield f"{value}  ", palette.strong
    if shown.unit >= 0:
        modality = Modality(attribution.units.modality[shown.unit])
        used = sum(len(label) + len(value) + 3 for label, value in numbers)
        yield "→ ", palette.dim
        yield f"{LETTERS[modality]} ", palette.ink[modality]
        yield name(attribution.units, shown.unit, width - used - 5), palette.plain


def _top(shown: Inspected, depth: Depth | None, width: int, palette: Palette) -> Iterable[Piece]:
    """The prompt tokens with the largest scores, as many as there is room for."""
    yield "top ", palette.dim
    room = width - 4
    for token, score in depth.top if depth else ():
        modality = Modality(shown.trace.timeline.modality[token])
        told, size = clip(token_name(shown.trace, token), 24), number(score).strip()
        room -= cell_len(told) + len(size) + 5
        if room < 0:
            return
        yield f"{LETTERS[modality]} ", palette.ink[modality]
        yield f"{told} ", palette.plain
        yield f"{size}  ", palette.dim


def _layers(shown: Inspected, depth: Depth | None, width: int, palette: Palette) -> Iterable[Piece]:
    """How much each layer gives to the unit, where that was recorded."""
    profile = depth.profile if depth else None
    if profile is None or not len(profile.layers):
        return
    top = float(profile.mass.max(initial=0.0))
    best = profile.layers[int(profile.mass.argmax())]
    yield f"layers {profile.layers[0]}–{profile.layers[-1]} ", palette.dim
    shares = np.maximum(profile.mass, 0) / top if top > 0 else profile.mass * 0
    yield heights(shares.tolist()[: max(0, width - 40)]), palette.strong
    yield f" {profile.what}, most in {best}", palette.dim
