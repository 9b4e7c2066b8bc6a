"""What stands around the tokens: which sample is read, and all that is known of one step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len

from omnitrace import Trace
from omnitrace.timeline import Modality
from replay import Attribution
from tui.colours import LETTERS, Palette
from tui.layout import clip, visible
from tui.lines import Lines, Piece
from tui.sources import name, number


@dataclass(frozen=True)
class Place:
    """Where the reader is: a sample among `count`, under a preset."""

    id: str
    number: int
    count: int
    preset: str


class Heading(Lines, can_focus=False):
    """Which sample, how long, under which preset; and what the letters and hues mean."""

    def show_place(self, place: Place, sizes: tuple[int, int] | None = None) -> None:
        """`sizes`: prompt tokens and generated ones, once they are known."""
        known = f"n {sizes[0]:,}  T {sizes[1]:,}  " if sizes else ""
        right = f"{known}{place.preset}  {place.number}/{place.count} "

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


class Inspector(Lines, can_focus=False):
    """One step in two rows: what was said, and how it was traced."""

    def show_step(self, trace: Trace, attribution: Attribution, step: int, k: int | None) -> None:
        start, end = trace.chars[step].tolist()
        span = f" · span {k + 1}" if k is not None else ""
        said = f"step {step + 1} of {trace.T} · id {trace.response_ids[step]} · "
        said += f"{visible(trace.pos[step])}{span}"
        unit = int(attribution.unit[step])
        numbers = [
            ("confidence", number(float(attribution.confidence[step])).strip()),
            ("vote", number(float(attribution.vote[step])).strip()),
            ("log p", f"{trace.logprob[step]:.2f}"),
            ("entropy", f"{trace.entropy[step]:.2f}"),
        ]

        def draw(row: int, width: int, palette: Palette) -> Iterable[Piece]:
            if row == 0:
                yield (
                    f" “{clip(spell(trace.response[start:end]), width - len(said) - 5)}”",
                    (palette.strong),
                )
                yield f"  {said}", palette.dim
                return
            yield " ", palette.plain
            for label, value in numbers:
                yield f"{label} ", palette.dim
                yield f"{value}  ", palette.strong
            if unit >= 0:
                modality = Modality(attribution.units.modality[unit])
                used = 1 + sum(len(label) + len(value) + 3 for label, value in numbers)
                yield "→ ", palette.dim
                yield f"{LETTERS[modality]} ", palette.ink[modality]
                yield name(attribution.units, unit, width - used - 4), palette.plain

        self.show(2, draw)


def spell(text: str) -> str:
    """A token so that nothing in it hides: spaces are seen, the unshowable gives its code point."""
    known = {" ": "␣", "\n": "↵", "\t": "⇥"}
    return "".join(
        known.get(c) or (c if visible(c) == c else f"‹U+{ord(c):04X}›") for c in text[:80]
    )
