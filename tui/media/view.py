"""The media of the prompt, with the mass of the steps under the cursor as heat maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from textual import work
from textual.geometry import Size

from omnitrace import OmniTraceError, Trace
from tui.compare import kept_at
from tui.draw.lines import Lines, Piece
from tui.media.blocks import (
    Decoded,
    Row,
    Scene,
    block,
    image_cells,
    strip_cells,
    time_cells,
)
from tui.media.cache import MediaCache
from tui.media.heat_map import tokens_of_medium
from tui.trace.state import Answer
from tui.trace.step_detail import StepDetail

_GIVE_FOLDER = "Start with --media FOLDER to see and hear the media."


class MediaView(Lines):
    """All media of a prompt, one below the other; decoded in a thread where there is a folder."""

    def __init__(self, cache: MediaCache | None) -> None:
        super().__init__("media")
        self.cache = cache
        self._scene: Scene | None = None
        self._decoded: list[Decoded] = []
        self._for = (0, 0)  # id of the trace, and the width, for which media were decoded
        self._rows: list[Row] = []

    def show_detail(self, answer: Answer, detail: StepDetail) -> None:
        """Show the scores of some steps on the media of the prompt, if it has any."""
        trace, attribution, first = answer.opened.trace, answer.attribution, detail.steps[0]
        if not trace.media:
            return
        scene = Scene(
            trace=trace,
            units=attribution.units,
            row=detail.row,
            top=float(detail.row[trace.timeline.medium >= 0].max(initial=0.0)),
            mapped=int(attribution.unit[first]),
            kept=kept_at(attribution, first),
            colour=not self.app.no_color,
        )
        if scene.looks_like(self._scene):
            return  # the configuration was changed, but nothing of this
        self._scene, self._message = scene, None
        self._load()
        self._update_rows()

    def show_message(self, text: str, wrong: bool = False) -> None:
        self._scene = None
        super().show_message(text, wrong)

    def on_resize(self) -> None:
        super().on_resize()
        self._load()
        self._update_rows()

    def _load(self) -> None:
        width = self.scrollable_content_region.width
        if self._scene is None or width < 8:
            return
        trace = self._scene.trace
        if self._for == (id(trace), width):
            return
        self._for = id(trace), width
        missing = Decoded(missing="" if self.cache else _GIVE_FOLDER)
        self._decoded = [Decoded()] * (len(trace.media) - 1) + [missing] * bool(trace.media)
        if self.cache is not None:
            self._decode(trace, width, self.cache)

    @work(thread=True, exclusive=True, group="media", description="media")
    def _decode(self, trace: Trace, width: int, cache: MediaCache) -> None:
        decoded = [decode(trace, medium, width, cache) for medium in range(len(trace.media))]
        self.call_later(self._show_decoded, (id(trace), width), decoded)

    def _show_decoded(self, decoded_for: tuple[int, int], decoded: list[Decoded]) -> None:
        if self._for == decoded_for:
            self._decoded = decoded
            self._update_rows()

    def _update_rows(self) -> None:
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


def decode(trace: Trace, medium: int, width: int, cache: MediaCache) -> Decoded:
    """The decoded parts of a medium for `width` cells; or why there are none."""
    known, decoded = trace.media[medium], Decoded()
    try:
        if known.kind == "image":
            columns, rows = image_cells(trace, medium, width - 2)
            return Decoded(pixels=cache.image(known, columns, 2 * rows))
        if known.kind == "video":
            columns, rows, times = strip_cells(trace, medium, width - 2)
            decoded = Decoded(pixels=cache.frames(known, times, columns, 2 * rows))
        if len(tokens_of_medium(trace, medium, audio=True)):
            decoded = replace(
                decoded, loudness=cache.loudness(known, time_cells(trace, medium, width))
            )
    except OmniTraceError as error:
        decoded = replace(decoded, missing=str(error))
    return decoded
