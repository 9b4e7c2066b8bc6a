"""One sample on a screen: read and attributed in worker threads, shown in its panes.

What was asked for and what arrives are compared, so that keys pressed in a hurry end where they
should. What keys do is in screen.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer
from textual.worker import get_current_worker

from omnitrace import OmniTraceError
from replay import Attribution
from tui.ask import Ask
from tui.compare import span_at
from tui.draw.lines import Lines
from tui.knobs import Knobs
from tui.media.view import MediaView
from tui.readings.by_source import BySource
from tui.readings.side import Beside, sides_of
from tui.readings.side_by_side import SideBySide
from tui.session import Session
from tui.trace.find import columns_of
from tui.trace.inspector import Heading, Inspected, Inspector, Place
from tui.trace.marks import NOTHING, Bool, unmarked
from tui.trace.overview import Overview
from tui.trace.rows import Depth
from tui.trace.sources import Beside as BesideSpan
from tui.trace.sources import SpanSources, StepSources
from tui.trace.tokens import Pinned, TokenView
from tui.trace.work import (
    Attributed,
    Deepened,
    Failed,
    Opened,
    Read,
    Wanted,
    Weighed,
    attributed,
    weighed,
)

NOBODY = (
    "Nobody to compare with: press b for another preset, start with --labels, or record what the "
    "cause is (omnitrace ablate-inputs)."
)


class TraceBase(Screen[int]):
    """Shows the samples of a run one at a time; gives back the place of the last one read."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 (Textual's name)
    AUTO_FOCUS = "#tokens"

    def __init__(self, session: Session, ids: Sequence[str], place: int, step: int = 0) -> None:
        super().__init__()
        self.session, self.ids, self.place = session, ids, place
        self._start = step
        self._opened: Opened | None = None
        self._shown: Attributed | None = None
        self._weighed: Weighed | None = None
        self._pinned: int | None = None
        self._sought = ""
        self._overwrite: Path | None = None  # the file that the reader was warned of

    def compose(self) -> ComposeResult:
        yield Heading("heading")
        yield Overview("overview")
        with Container(id="body"):
            yield TokenView("tokens")
            yield BySource("by-source")
            yield SideBySide("side-by-side")
            with Container(id="sources"):
                yield Knobs("knobs")
                yield StepSources("step-sources")
                yield SpanSources("span-sources")
                yield MediaView("media")
        yield Inspector("inspector")
        yield Lines("told")
        yield Ask()
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one("#told", Lines).can_focus = False
        look, tokens = self.session.look, self.tokens
        tokens.moved = self._show
        tokens.letters, tokens.captions = look.letters or self.app.no_color, look.captions
        self.set_class(look.knobs, "-knobs")
        self.set_class(look.media, "-media")
        self.query_one(MediaView).shelf = self.session.shelf
        self.tell("")
        self._open(self._start)

    # What is there

    @property
    def tokens(self) -> TokenView:
        return self.query_one(TokenView)

    @property
    def attribution(self) -> Attribution | None:
        """What is shown of the sample, once it is attributed."""
        return self._shown.attribution if self._shown else None

    @property
    def _wanted(self) -> Wanted:
        session, look = self.session, self.session.look
        return Wanted(self.place, session.config, session.other, look.grain, look.strength)

    def tell(self, text: str, wrong: bool = False) -> None:
        """Say something above the footer, until something else is said."""
        told = self.query_one("#told", Lines)
        told.display = bool(text)
        told.say(text, wrong)

    # Reading and attributing

    def _open(self, step: int = 0) -> None:
        self._opened = self._shown = self._weighed = self._pinned = None
        self._sought = ""
        self.tokens.cursor = step
        self._blank("Reading…")
        self._head()
        self.ask_for()

    def _blank(self, message: str, wrong: bool = False) -> None:
        """A message in place of the response, and nothing around it."""
        self.tokens.say(message, wrong)
        self.query_one(Overview).show_marks(NOTHING, 0, None)
        self._blank_panes("")

    def _blank_panes(self, message: str) -> None:
        panes = "#inspector, #step-sources, #span-sources, #by-source, #side-by-side, #media"
        for widget in self.query(panes).results(Lines):
            widget.border_title = ""
            widget.say(message)

    def _head(self) -> None:
        session = self.session
        place = Place(
            self.ids[self.place],
            self.place + 1,
            len(self.ids),
            session.history.now.name,
            session.baseline,
        )
        trace = self._opened.trace if self._opened else None
        self.query_one(Heading).show_place(place, (trace.n, trace.T) if trace else None)
        history = session.history
        self.query_one(Knobs).show_config(session.config, history.base, history.now.name, trace)

    def ask_for(self) -> None:
        """Have made what the reader wants to see now."""
        self._head()
        self._make(self._wanted, self._opened)

    # Workers are described by hand: else Textual spells out all that they are given.

    @work(thread=True, exclusive=True, group="make", description="make")
    def _make(self, wanted: Wanted, opened: Opened | None) -> None:
        try:
            if opened is None:
                opened = Opened.of(wanted.place, self.session.replayer(self.ids[wanted.place]))
                self.post_message(Read(opened))
            self.post_message(attributed(wanted, opened, self.session.labels))
        except OmniTraceError as error:
            self.post_message(Failed(wanted, opened, str(error)))

    def on_read(self, message: Read) -> None:
        """The response can be read before it is attributed."""
        if message.opened.place == self.place and self._opened is None:
            self._opened = message.opened
            self._head()
            self.set_class(bool(message.opened.trace.media), "-has-media")
            self.tokens.mark(unmarked(message.opened.paper), self.tokens.cursor)
            self._blank_panes("Attributing…")

    def on_failed(self, message: Failed) -> None:
        if message.wanted != self._wanted:
            return
        self._shown = None
        if message.opened is None:
            self._blank(message.reason, wrong=True)
            return
        self.tokens.mark(unmarked(message.opened.paper), self.tokens.cursor)
        self.query_one(Overview).show_marks(NOTHING, 0, None)
        self._blank_panes("")
        self.query_one(StepSources).say(message.reason, wrong=True)

    def on_attributed(self, message: Attributed) -> None:
        if message.wanted != self._wanted:
            return  # the reader has gone on
        self._opened, self._shown = message.opened, message
        self._head()
        if not len(message.marked):
            self._blank("The response is empty: the model generated no token.")
            return
        tokens = self.tokens
        tokens.mark(message.marked, tokens.cursor)
        self._relight()
        self._show(tokens.cursor)
        self._show_reading()
        if message.amiss or message.other is not None:
            self._tell_difference(message)

    def _tell_difference(self, message: Attributed) -> None:
        if message.amiss:
            self.tell(message.amiss, wrong=True)
            return
        steps, spans = message.marked.disputed, message.attribution.spans
        apart = sum(bool(steps[span.steps[0]]) for span in spans)
        names = f"A {self.session.history.now.name}, B {self.session.baseline}"
        self.tell(
            f"{names}: {apart} of {len(spans)} spans have other sources "
            "(≠ in the margin, d lights them)"
        )

    # The cursor and the pin

    @on(Overview.Went)
    def _went(self, message: Overview.Went) -> None:
        self.tokens.move_to(message.step)

    def on_pinned(self, message: Pinned) -> None:
        self._pinned = None if self._pinned == message.step else message.step
        self.tokens.pin(self._pinned)
        self._show(self.tokens.cursor)

    def _show(self, cursor: int) -> None:
        """All that is known of the step under the cursor, or of the pinned one."""
        if self._shown is None:
            return
        shown, tokens = self._shown, self.tokens
        attribution, marked = shown.attribution, shown.marked
        self.query_one(Overview).show_marks(marked, cursor, tokens.lit)
        step = cursor if self._pinned is None else self._pinned
        steps, unit, k = marked.group_of(step), int(marked.unit[step]), int(marked.span[step])
        trace = shown.opened.replayer.tagged(attribution.config.tags)
        own = k if k >= 0 else None
        self.query_one(Inspector).inspect(Inspected(trace, attribution, steps, unit, own))
        self.query_one(StepSources).show_steps(attribution, steps, unit)
        beside = None
        if shown.other is not None and (theirs := span_at(shown.other, step)) is not None:
            beside = BesideSpan(shown.other, theirs)
        self.query_one(SpanSources).show_span(attribution, own, beside)
        if (known := shown.opened.reader.known(attribution, steps)) is not None:
            self._show_depth(known)
        self._deepen(shown, steps)

    @work(thread=True, exclusive=True, group="deepen", description="deepen")
    def _deepen(self, shown: Attributed, steps: tuple[int, int]) -> None:
        """Read what lies below some steps, then ahead: where the cursor can go next."""
        reader, attribution = shown.opened.reader, shown.attribution
        try:
            if reader.known(attribution, steps) is None:
                self.post_message(Deepened(attribution, reader.depth(attribution, steps)))
        except OmniTraceError as error:
            self.app.call_from_thread(self.tell, str(error), True)
            return
        with suppress(OmniTraceError):  # told when the cursor is there
            for near in shown.marked.beside(steps):
                if not get_current_worker().is_cancelled:
                    reader.depth(attribution, near)

    def on_deepened(self, message: Deepened) -> None:
        if message.attribution is self.attribution:
            self._show_depth(message.depth)

    def _show_depth(self, depth: Depth) -> None:
        self.query_one(Inspector).deepen(depth)
        self._show_media(depth)
        self.set_class(depth.profile is not None, "-layered")

    # What stands out

    def light(self, steps: Bool | None, what: str = "") -> None:
        """Let some steps stand out."""
        self.tokens.light(steps)
        self.query_one(Overview).show_marks(self.tokens.marked, self.tokens.cursor, steps)
        if steps is not None:
            count = int(np.count_nonzero(steps))
            self.tell(f"{what}: {count:,} of {len(steps):,} tokens (n next, Escape for all)")

    def _relight(self) -> None:
        """What was found, under the configuration that is now in force."""
        if self._sought:
            self._find(self._sought)
        else:
            self.tokens.light(None)

    def _find(self, query: str) -> None:
        if self._shown is None:
            return
        shown = self._shown
        trace = shown.opened.replayer.tagged(shown.attribution.config.tags)
        columns = columns_of(trace, shown.attribution, shown.marked.disputed)
        steps = columns.select(query) if query.strip() else None
        self._sought = query
        self.light(steps, query)
        if steps is None:
            self.tell("")

    # Readings and media

    def _show_reading(self) -> None:
        shown = self._shown
        if shown is None:
            return
        if self.has_class("-by-source"):
            self.query_one(BySource).show_uses(shown.attribution)
        elif self.has_class("-side-by-side"):
            self._show_sides(shown)

    def _show_sides(self, shown: Attributed) -> None:
        """What the voices say; the cause, which takes its time, as soon as it is known."""
        session, known = self.session, self._weighed
        if known is None or known.attribution is not shown.attribution:
            known = None
        other = (session.baseline or "", shown.other) if shown.other else None
        cause = known.cause if known else None
        voices = Beside(shown.opened.trace, shown.attribution, other, shown.gold, cause)
        self.query_one(SideBySide).show_sides(sides_of(voices))
        if known is None or known.method != session.cause:
            self._weigh(shown, session.cause)
        elif cause is not None and cause.amiss:
            self.tell(f"{cause.method}: {cause.amiss} (a asks another method)", wrong=True)
        elif (other, shown.gold, cause) == (None, None, None):
            self.tell_nobody(NOBODY)

    def tell_nobody(self, text: str) -> None:
        """Say that nobody has said what the cause is, or what of the run cannot be read."""
        damage = "  ".join(self.session.run.damage)
        self.tell(damage or text, wrong=bool(damage))

    @work(thread=True, exclusive=True, group="weigh", description="weigh")
    def _weigh(self, shown: Attributed, method: str | None) -> None:
        self.post_message(weighed(shown, method))

    def on_weighed(self, message: Weighed) -> None:
        if message.attribution is self.attribution and message.method == self.session.cause:
            self._weighed = message
            self._show_reading()

    def _show_media(self, depth: Depth) -> None:
        shown, media = self._shown, self.query_one(MediaView)
        if shown is not None and shown.opened.trace.media:
            k = span_at(shown.attribution, depth.steps[0])
            media.show_scene(shown.attribution, shown.opened.trace, depth, k)
