"""The samples of a run: searched, sorted, previewed, measured, and opened."""

from __future__ import annotations

import time
from typing import ClassVar

import numpy as np
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer
from textual.worker import get_current_worker

from omnitrace import CommandError, OmniTraceError, Trace
from tui.draw.lines import Lines
from tui.draw.table import Table
from tui.input_line import InputLine
from tui.runs.measures import MeasureOptions, Measures, measure
from tui.runs.preview import Preview
from tui.runs.samples import SORTS, SampleList, columns_of, sorting
from tui.session import Session
from tui.status import StatusLine
from tui.trace.screen import TraceScreen

_REPORT_S = 0.25  # seconds between reports of the progress
_HINT = "words, has:image, n>1000, steps<50, f1<0.5, differs>0, is:broken; - before one negates it"


class RunScreen(Screen[None]):
    """All samples of a run; Enter reads one."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 (Textual's name)
    AUTO_FOCUS = "#samples"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "Find", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("S", "reverse", "Sort backwards", show=False),
        Binding("D", "measure", "Measure"),
        Binding("v", "preview", "Preview"),
        Binding("escape", "all", "All samples", show=False),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.samples = session.run.summary()
        self.measures = Measures.blank(len(self.samples))
        self.columns = columns_of(self.samples, self.measures)
        self.query_text = ""

    def compose(self) -> ComposeResult:
        yield Lines("columns")
        with Container(id="listing"):
            yield SampleList(self.samples, self.measures, "samples")
            yield Preview("preview")
        yield StatusLine()
        yield Lines("damage")
        yield InputLine()
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        for widget in self.query("#columns, #damage").results(Lines):
            widget.can_focus = False
        self.query_one("#columns", Lines).show(1, lambda _, w, p: self._list.draw_columns(w, p))
        damage = self.session.run.damage
        self.query_one("#damage").display = bool(damage)
        if damage:
            self.query_one("#damage", Lines).show_message("  ".join(damage), wrong=True)
        self.set_class(self.session.look.preview, "-preview")
        self._arrange()
        if self.session.labels is not None:
            self.action_measure()

    @property
    def _list(self) -> SampleList:
        return self.query_one(SampleList)

    def _show_status(self, text: str, wrong: bool = False) -> None:
        self.query_one(StatusLine).show_status(text, wrong)

    # Which samples, in which order

    @on(InputLine.Typed)
    def _use_text(self, message: InputLine.Typed) -> None:
        if message.text is not None:
            self._find(message.text)

    def _find(self, query: str) -> None:
        try:
            self.columns.select(query)
        except CommandError as error:
            self._show_status(str(error), wrong=True)
            return
        self._show_status("")
        self.query_text = query
        self._arrange()

    def _arrange(self) -> None:
        look = self.session.look
        order = sorting(look.sort, self.samples, self.measures, look.reverse)
        self._list.show_order(order[self.columns.select(self.query_text)[order]])
        self.query_one("#columns", Lines).redraw()
        self._update_preview()

    def action_find(self) -> None:
        self.query_one(InputLine).open("find", _HINT, self.query_text)

    def action_all(self) -> None:
        self._find("")

    def action_sort(self) -> None:
        look = self.session.look
        place = SORTS.index(look.sort) if look.sort in SORTS else -1
        look.sort = SORTS[(place + 1) % len(SORTS)]
        self._sorted()

    def action_reverse(self) -> None:
        self.session.look.reverse = not self.session.look.reverse
        self._sorted()

    def _sorted(self) -> None:
        look = self.session.look
        self._arrange()
        unknown = look.sort in ("f1", "differs") and np.isnan(self.columns.numbers[look.sort]).all()
        hint = " · press D to measure" if unknown else ""
        self._show_status(f"sorted by {look.sort}{', backwards' if look.reverse else ''}{hint}")

    # One sample

    @on(Table.Pointed, "#samples")
    def _pointed(self) -> None:
        self._update_preview()

    def _update_preview(self) -> None:
        if self.has_class("-preview") and (here := self._list.here) is not None:
            self._read_ahead(here)

    @work(thread=True, exclusive=True, group="preview", description="preview")
    def _read_ahead(self, sample: int) -> None:
        try:
            trace = self.session.run[self.samples.ids[sample]]
            self.call_later(self._show_preview, sample, trace)
        except OmniTraceError as error:
            self.call_later(self._show_preview, sample, None, str(error))

    def _show_preview(self, sample: int, trace: Trace | None, reason: str = "") -> None:
        if sample != self._list.here:
            return
        preview = self.query_one(Preview)
        if trace is not None:
            preview.show_trace(trace)
        else:
            preview.border_title = ""
            preview.show_message(reason, wrong=True)

    def action_preview(self) -> None:
        self.session.look.preview = not self.session.look.preview
        self.set_class(self.session.look.preview, "-preview")
        self._update_preview()

    @on(Table.Chosen, "#samples")
    def _chosen(self) -> None:
        if (here := self._list.here) is not None:
            self.read(here)

    def read(self, sample: int, step: int = 0) -> None:
        """Open a sample at a step; on return the cursor is on the last sample that was open."""
        order = self._list.order.tolist()
        if sample not in order:
            self._find("")
            order = self._list.order.tolist()
        ids = [self.samples.ids[k] for k in order]
        self.app.push_screen(
            TraceScreen(self.session, ids, order.index(sample), step), self._return
        )

    def _return(self, place: int | None) -> None:
        if place is not None:
            self._list.move_to(place)

    # Measuring

    def action_measure(self) -> None:
        """Attribute every sample: its F1 where there are labels, its share of disputed steps."""
        other = self.session.other or self.session.contrast
        labels = self.session.labels
        self._measure(MeasureOptions(self.session.config, other, labels.f1 if labels else None))

    @work(thread=True, exclusive=True, group="measure", description="measure")
    def _measure(self, options: MeasureOptions) -> None:
        worker, reported = get_current_worker(), time.monotonic()
        for k in measure(self.session.replayer, self.samples.ids, options, self.measures):
            if worker.is_cancelled:
                return
            if time.monotonic() - reported > _REPORT_S or k + 1 == len(self.samples):
                reported = time.monotonic()
                self.call_later(self._show_progress, k + 1)

    def _show_progress(self, done: int) -> None:
        whole = done == len(self.samples)
        self._show_status("" if whole else f"measured {done:,} of {len(self.samples):,} samples")
        if whole and (self.query_text or self.session.look.sort != "recorded"):
            self._arrange()
        self._list.redraw()
        self.query_one("#columns", Lines).redraw()
