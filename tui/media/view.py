"""The media of the prompt with the mass of the steps under the cursor on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from textual import work
from textual.geometry import Size
from textual.message import Message

from omnitrace import OmniTraceError, Trace
from replay import Attribution
from tui.draw.lines import Lines, Piece
from tui.media.blocks import (
    Decoded,
    Row,
    Scene,
    block,
    picture_cells,
    scene_top,
    strip_cells,
    time_cells,
)
from tui.media.heat import tokens_of_medium
from tui.media.shelf import Shelf
from tui.trace.rows import Depth

_GIVE_FOLDER = "Start with --media FOLDER to see and hear the media."


class MediaView(Lines):
    """Every medium of a prompt, one below the other; decoded in a thread where it is at hand."""

    @dataclass
    class Loaded(Message):
        """The media of a trace were decoded for a width."""

        trace: Trace
        width: int
        decoded: list[Decoded]

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.shelf: Shelf | None = None
        self._scene: Scene | None = None
        self._decoded: list[Decoded] = []
        self._for: tuple[object, int] = (None, 0)  # the trace and the width that are decoded
        self._rows: list[Row] = []

    def show_scene(
        self, attribution: Attribution, trace: Trace, depth: Depth, k: int | None
    ) -> None:
        """Show the media under some steps of the k-th span, or of none."""
        sources = attribution.spans[k].sources if k is not None else ()
        kept = frozenset(source.unit for source in sources)
        mapped = int(attribution.unit[depth.steps[0]])
        top = scene_top(trace, depth.row)
        colour = not self.app.no_color
        units = attribution.units
        scene = Scene(trace, units, depth.row, top, mapped, kept, colour)
        if scene.looks_like(self._scene):
            return  # a configuration was changed that does not change this
        self._scene, self._message = scene, None
        self._load()
        self._lay()

    def say(self, text: str, wrong: bool = False) -> None:
        self._scene = None
        super().say(text, wrong)

    def on_resize(self) -> None:
        super().on_resize()
        self._load()
        self._lay()

    def _load(self) -> None:
        width = self.scrollable_content_region.width
        if self._scene is None or width < 8:
            return
        trace = self._scene.trace
        if self._for == (id(trace), width):
            return
        self._for = id(trace), width
        missing = Decoded(missing="" if self.shelf else _GIVE_FOLDER)
        self._decoded = [Decoded()] * (len(trace.media) - 1) + [missing] * bool(trace.media)
        if self.shelf is not None:
            self._decode(trace, width, self.shelf)

    @work(thread=True, exclusive=True, group="media", description="media")
    def _decode(self, trace: Trace, width: int, shelf: Shelf) -> None:
        decoded = [decode(trace, medium, width, shelf) for medium in range(len(trace.media))]
        self.post_message(self.Loaded(trace, width, decoded))

    def on_media_view_loaded(self, message: Loaded) -> None:
        if self._for == (id(message.trace), message.width):
            self._decoded = message.decoded
            self._lay()

    def _lay(self) -> None:
        if self._scene is None:
            return
        width = self.scrollable_content_region.width
        if width < 8:
            return
        self._rows = [
            row
            for medium, decoded in enumerate(self._decoded)
            for row in block(self._scene, medium, decoded, width)
        ]
        self.border_title = f"media · {len(self._decoded)}"
        self.count = len(self._rows)
        self.virtual_size = Size(width, self.count)
        self.redraw()

    def draw_row(self, row: int, width: int) -> Iterable[Piece]:
        if self._scene is None:
            return super().draw_row(row, width)
        return self._rows[row](self.palette) if row < len(self._rows) else ()


def decode(trace: Trace, medium: int, width: int, shelf: Shelf) -> Decoded:
    """What can be seen and heard of a medium in `width` cells; or why nothing can."""
    known, decoded = trace.media[medium], Decoded()
    try:
        if known.kind == "image":
            columns, rows = picture_cells(trace, medium, width - 2)
            return Decoded(pixels=shelf.picture(known, columns, 2 * rows))
        if known.kind == "video":
            columns, rows, times = strip_cells(trace, medium, width - 2)
            decoded = Decoded(pixels=shelf.frames(known, times, columns, 2 * rows))
        if len(tokens_of_medium(trace, medium, sound=True)):
            decoded = replace(
                decoded, loudness=shelf.loudness(known, time_cells(trace, medium, width))
            )
    except OmniTraceError as error:
        decoded = replace(decoded, missing=str(error))
    return decoded
