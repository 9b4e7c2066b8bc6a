"""The help screen: the keys, from the descriptions of the bindings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen

from tui.draw.colours import Palette
from tui.draw.layout import clip
from tui.draw.lines import Lines, Piece

LEGEND = (
    "Hue: the modality of the unit that a token maps to. Strength: its confidence, relative to "
    "this sample's strongest. Underlined: the span under the cursor. Margin: the span's number "
    "and the modalities of its curated sources."
)


class HelpScreen(ModalScreen[None]):
    """Every key of the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark", "dismiss", "Back"),
        Binding("q", "app.quit", "Quit", show=False),
    ]

    def __init__(self, rows: list[tuple[str, str]]) -> None:
        super().__init__()
        self.rows = rows

    def compose(self) -> ComposeResult:
        keys, legend = Lines("keys"), Lines("legend")
        keys.border_title = "keys"
        legend.can_focus = False
        yield keys
        yield legend

    def on_mount(self) -> None:
        wide = max((len(keys) for keys, _ in self.rows), default=0)
        half = (len(self.rows) + 1) // 2

        def draw(row: int, width: int, palette: Palette) -> Iterable[Piece]:
            for keys, description in self.rows[row::half]:
                yield f" {keys:>{wide}}  ", palette.strong
                room = width // 2 - wide - 3
                yield clip(description, room).ljust(room), palette.plain

        self.query_one("#keys", Lines).show(half, draw)
        self.query_one("#legend", Lines).show_message(LEGEND)


def active_bindings(
    screen: Screen[object],
) -> list[tuple[tuple[DOMNode, Binding], list[str]]]:
    """The described bindings that are active on a screen, with where they act and their keys."""
    found: dict[str, tuple[tuple[DOMNode, Binding], list[str]]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.description and not binding.system and "copy_text" not in binding.action:
            _, keys = found.setdefault(binding.description, ((active.node, binding), []))
            keys.append(screen.app.get_key_display(binding))
    return [*found.values()]


def key_rows(screen: Screen[object]) -> list[tuple[str, str]]:
    """(keys, description) of every described binding that is active on a screen."""
    return [(" ".join(keys), binding.description) for (_, binding), keys in active_bindings(screen)]
