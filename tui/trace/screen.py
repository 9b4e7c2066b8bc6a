"""The trace view: its bindings, and the wiring of its parts.

A key changes the `TraceState`; what must be computed for it is computed in a worker thread and
then shown by the panes. A result that arrives late, for another request, is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer
from textual.worker import get_current_worker

from omnitrace import CommandError, OmniTraceError
from omnitrace.config import to_toml
from replay import Attribution
from tui.compare import span_at
from tui.draw.table import Table
from tui.export import KINDS, View, export_view, link, span_text
from tui.input_line import InputLine
from tui.look import GRAINS
from tui.media.view import MediaView
from tui.options.panel import OptionPanel
from tui.readings import READINGS
from tui.saving import Saver
from tui.session import Session
from tui.status import StatusLine
from tui.trace.highlight import Highlights
from tui.trace.inspector import Heading, Inspector
from tui.trace.overview import Overview
from tui.trace.prompt import PromptScreen
from tui.trace.response import NO_RESPONSE, unstyled
from tui.trace.search import step_at_place
from tui.trace.sources import SpanSources, StepSources, UnitTable
from tui.trace.state import Answer, Opened, Request, TraceState, answer_for, difference, step_view
from tui.trace.step_detail import StepDetail
from tui.trace.target import TargetTable
from tui.trace.tokens import TokenView

_FIND = "words, pos:NOUN, unit:audio, from:image, confidence>0.5, logp<-2, is:disputed; - negates"
_STRENGTHS = (0.4, 0.6, 0.8, 1.0, 1.4, 2.0, 3.0)
_TOKENS = "tokens"  # the reading in the order of generation


class TraceScreen(Screen[int]):
    """Shows the samples of a run one at a time; returns the place of the last one."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 (Textual's name)
    AUTO_FOCUS = "#tokens"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "span(1)", "Next span"),
        Binding("S", "span(-1)", "Previous span", show=False),
        Binding("right_square_bracket", "sample(1)", "Next sample", show=False, key_display="]"),
        Binding(
            "left_square_bracket", "sample(-1)", "Previous sample", show=False, key_display="["
        ),
        Binding("1", f"reading('{_TOKENS}')", "In order", show=False),
        *(Binding(r.KEY, f"reading('{r.NAME}')", r.LABEL, show=False) for r in READINGS),
        Binding("slash", "find", "Find", key_display="/"),
        Binding("colon", "go", "Go to", show=False, key_display=":"),
        Binding("z", "grain", "Token, word, span", show=False),
        Binding("p", "preset", "Preset"),
        Binding("b", "compare", "Compare"),
        Binding("d", "disputed", "Light what differs", show=False),
        Binding("e", "options", "Configure"),
        Binding("w", "save", "Save the configuration", show=False),
        Binding("u", "undo", "Undo", show=False),
        Binding("U", "redo", "Redo", show=False),
        Binding("v", "prompt", "Prompt", show=False),
        Binding("x", "export", "Export", show=False),
        Binding("y", "copy_span", "Copy the span", show=False),
        Binding("Y", "copy_link", "Copy a link", show=False),
        Binding("i", "media", "Media"),
        Binding("o", "play", "Play", show=False),
        Binding("m", "letters", "Modality letters", show=False),
        Binding("c", "captions", "Captions", show=False),
        Binding("plus", "strength(1)", "Stronger colours", show=False, key_display="+"),
        Binding("minus", "strength(-1)", "Weaker colours", show=False, key_display="-"),
        Binding("escape", "back", "Back"),
    ]

    def __init__(self, session: Session, ids: Sequence[str], place: int, step: int = 0) -> None:
        super().__init__()
        self.session, self._first_step = session, step
        self.state = TraceState(session, ids, place)
        self.heading, self.overview = Heading("heading"), Overview("overview")
        self.tokens = TokenView(moved=self._show_step)
        self.readings = {reading.NAME: reading(session) for reading in READINGS}
        self.reading = _TOKENS
        self.options = OptionPanel("options")
        self.step_sources = StepSources("step-sources")
        self.span_sources = SpanSources("span-sources")
        self.media = MediaView(session.media)
        self.inspector = Inspector("inspector")
        self.status, self.input = StatusLine(), InputLine()
        self.highlights = Highlights(self.tokens, self.overview, self.status)
        self.saver = Saver(self.input, self.status)

    def compose(self) -> ComposeResult:
        yield self.heading
        yield self.overview
        with Container(id="body"):
            yield self.tokens
            yield from self.readings.values()
            with Container(id="sources"):
                yield self.options
                yield self.step_sources
                yield self.span_sources
                yield self.media
        yield self.inspector
        yield self.status
        yield self.input
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        look = self.session.look
        self.tokens.letters = look.letters or self.app.no_color
        self.tokens.captions = look.captions
        self.set_class(look.options, "-options")
        self.set_class(look.media, "-media")
        self._open(self.state.place, self._first_step)

    @property
    def attribution(self) -> Attribution | None:
        """The attribution on the screen, once it is computed."""
        return self.state.answer.attribution if self.state.answer else None

    # Reading and attributing a sample

    def _open(self, place: int, step: int = 0) -> None:
        self.state.go_to(place)
        self.highlights.query = ""
        self.tokens.cursor = step
        self._clear("Reading…")
        self.recompute()

    def recompute(self) -> None:
        """Compute what the state requests now."""
        self._show_request()
        self._compute(self.state.request, self.state.opened)

    def _show_request(self) -> None:
        state, history = self.state, self.session.history
        self.heading.show_state(state)
        trace = state.opened.trace if state.opened else None
        self.options.show_config(history.now.config, history.base, history.now.name, trace)

    # Workers are described by hand: else Textual prints all their arguments.

    @work(thread=True, exclusive=True, group="compute", description="compute")
    def _compute(self, request: Request, opened: Opened | None) -> None:
        try:
            if opened is None:
                replayer = self.session.replayer(self.state.ids[request.place])
                opened = Opened.of(request.place, replayer)
                self.call_later(self._show_opened, opened)
            self.call_later(self._show_answer, answer_for(request, opened, self.session.labels))
        except OmniTraceError as error:
            self.call_later(self._show_failure, request, opened, str(error))

    def _show_opened(self, opened: Opened) -> None:
        """Show the response, which can be read before it is attributed."""
        if opened.place == self.state.place and self.state.opened is None:
            self.state.opened = opened
            self._show_request()
            self.set_class(bool(opened.trace.media), "-has-media")
            self.tokens.show_response(unstyled(opened.layout), self.tokens.cursor)
            self._clear_panes("Attributing…")

    def _show_failure(self, request: Request, opened: Opened | None, reason: str) -> None:
        if request != self.state.request:
            return
        self.state.answer = None
        if opened is None:
            self._clear(reason, wrong=True)
            return
        self.tokens.show_response(unstyled(opened.layout), self.tokens.cursor)
        self.overview.show_response(NO_RESPONSE, 0, None)
        self._clear_panes("")
        self.step_sources.show_message(reason, wrong=True)

    def _show_answer(self, answer: Answer) -> None:
        if answer.request != self.state.request:
            return  # the user has gone on
        self.state.opened, self.state.answer = answer.opened, answer
        if not len(answer.response):
            self._clear("The response is empty: the model generated no token.")
            return
        self.tokens.show_response(answer.response, self.tokens.cursor)
        self.highlights.restore(answer)
        self._show_step(self.tokens.cursor)
        self._show_reading()
        if answer.error:
            self.status.show_status(answer.error, wrong=True)
        elif answer.other is not None:
            names = self.session.history.now.name, self.session.baseline or ""
            self.status.show_status(difference(answer, names))

    def _clear(self, message: str, wrong: bool = False) -> None:
        """Show a message in place of the response, and nothing around it."""
        self.tokens.show_message(message, wrong)
        self.overview.show_response(NO_RESPONSE, 0, None)
        self._clear_panes("")

    def _clear_panes(self, message: str) -> None:
        panes = (self.inspector, self.step_sources, self.span_sources, self.media)
        for pane in (*panes, *self.readings.values()):
            pane.border_title = ""
            pane.show_message(message)

    # The step under the cursor, or the pinned one

    def _show_step(self, cursor: int) -> None:
        answer, pinned = self.state.answer, self.state.pinned
        if answer is None:
            return
        self.overview.show_response(answer.response, cursor, self.tokens.highlighted)
        view = step_view(answer, cursor if pinned is None else pinned)
        for pane in (self.inspector, self.step_sources, self.span_sources):
            pane.show_step(view)
        cached = answer.opened.reader.cached(answer.attribution, view.steps)
        if cached is not None:
            self._show_detail(answer, cached)
        self._read_detail(answer, view.steps)

    @work(thread=True, exclusive=True, group="detail", description="detail")
    def _read_detail(self, answer: Answer, steps: tuple[int, int]) -> None:
        """Read the detail of some steps, then of those that the cursor can go to next."""
        reader, attribution = answer.opened.reader, answer.attribution
        try:
            if reader.cached(attribution, steps) is None:
                self.call_later(self._show_detail, answer, reader.read(attribution, steps))
        except OmniTraceError as error:
            self.call_later(self.status.show_status, str(error), wrong=True)
            return
        with suppress(OmniTraceError):  # shown when the cursor is there
            for near in answer.response.neighbours(steps):
                if not get_current_worker().is_cancelled:
                    reader.read(attribution, near)

    def _show_detail(self, answer: Answer, detail: StepDetail) -> None:
        if answer.attribution is self.attribution:
            self.inspector.show_detail(detail)
            self.media.show_detail(answer, detail)
            self.set_class(detail.profile is not None, "-layered")

    @on(Overview.Clicked)
    def _go_to_click(self, message: Overview.Clicked) -> None:
        self.tokens.move_to(message.step)

    @on(TokenView.Pinned)
    def _toggle_pin(self, message: TokenView.Pinned) -> None:
        self._pin(None if self.state.pinned == message.step else message.step)

    def _pin(self, step: int | None) -> None:
        self.state.pinned = step
        self.tokens.pin(step)
        self._show_step(self.tokens.cursor)

    # The row under the cursor of a table

    @on(Table.Pointed)
    @on(Table.Chosen)
    def _show_target(self, message: Table.Pointed | Table.Chosen) -> None:
        """Highlight the steps of a row's unit, or go to the row's step."""
        table, attribution = message.table, self.attribution
        if attribution is None or not isinstance(table, TargetTable):
            return
        target, chosen = table.target(message.row), isinstance(message, Table.Chosen)
        if target is None:
            return
        if target.unit is not None:
            self.highlights.show_unit(attribution, target.unit)
            if chosen:
                self.highlights.go_to_first(after=True)
        if target.step is not None:
            self.tokens.move_to(target.step)
            if target.status is not None:
                self.status.show_status(target.status)
            if chosen:
                self.action_reading(_TOKENS)

    def action_disputed(self) -> None:
        answer = self.state.answer
        if answer is None or answer.other is None:
            self.status.show_status("Press b first: it says what to compare with.")
        else:
            what = f"other sources under {self.session.baseline}"
            self.highlights.show(answer.response.disputed, what)

    # What the user types

    def action_find(self) -> None:
        self.input.open("find", _FIND, self.highlights.query)

    def action_go(self) -> None:
        self.input.open("go", "a step, as 12, or a span, as s3")

    def action_save(self) -> None:
        self.input.open("save", "a file for this configuration", "omnitrace.toml")

    def action_export(self) -> None:
        if self.state.answer is not None:
            self.input.open("export", f"a name in .{', .'.join(KINDS)}", "attribution.html")

    @on(Table.Chosen, "#options")
    def _type_value(self) -> None:
        option, config = self.options.option, self.options.config
        if option is not None and config is not None:
            self.input.open("value", f"{option.name}: {option.help}", str(option.value(config)))

    @on(InputLine.Typed)
    def _use_text(self, message: InputLine.Typed) -> None:
        if message.text is None or self.state.answer is None:
            return
        try:
            self._use(message.purpose, message.text, message.done, self.state.answer)
        except CommandError as error:
            self.highlights.query = ""
            self.tokens.highlight(None)
            self.status.show_status(str(error), wrong=True)

    def _use(self, purpose: str, text: str, done: bool, answer: Answer) -> None:
        """Use what was typed; CommandError if it is not valid."""
        if purpose == "find":
            self.highlights.find(answer, text)
            if done and text:
                self.highlights.go_to_first()
        elif done and purpose == "go":
            self.tokens.move_to(step_at_place(answer, text))
        elif done and (text := text.strip()):
            if purpose == "value":
                self.options.put_text(text)
            elif purpose == "save":
                config = to_toml(self.session.config)
                self.saver.save(text, config, "omnitrace replay RUN --config")
            elif purpose == "export":
                self.call_after_refresh(self._export, text)  # when the input line is gone

    def _export(self, name: str) -> None:
        if (answer := self.state.answer) is None:
            return
        screenshot = partial(self.app.export_screenshot, title="omnitrace browse")
        view = View(answer.attribution, answer.response, self.tokens.palette, screenshot)
        try:
            self.saver.save(name, export_view(view, name), "written to")
        except CommandError as error:
            self.status.show_status(str(error), wrong=True)

    # Copying

    def action_copy_span(self) -> None:
        if (attribution := self.attribution) is not None:
            k = span_at(attribution, self.tokens.cursor)
            if k is not None:
                self.app.copy_to_clipboard(span_text(attribution, k))
                self.status.show_status(f"span {k + 1} is copied, if the terminal allows it")

    def action_copy_link(self) -> None:
        """Copy the command that opens this sample at this step."""
        command = link(self.session.run.path, self.state.id, self.tokens.cursor)
        self.app.copy_to_clipboard(command)
        self.status.show_status(command)

    # Configurations

    def action_preset(self) -> None:
        self.session.history.next_preset()
        self.recompute()

    def action_compare(self) -> None:
        self.session.next_baseline()
        self.status.show_status("")
        self.recompute()

    def action_undo(self) -> None:
        if self.session.history.undo():
            self.recompute()

    def action_redo(self) -> None:
        if self.session.history.redo():
            self.recompute()

    @on(OptionPanel.Changed)
    def _change_config(self, message: OptionPanel.Changed) -> None:
        if self.session.history.change(message.config):
            self.recompute()

    def action_options(self) -> None:
        """Show the configuration and go there, or hide it."""
        look = self.session.look
        look.options = not (look.options and self.options.has_focus)
        self.set_class(look.options, "-options")
        self.set_focus(self.options if look.options else self.tokens)

    # How it looks

    def action_grain(self) -> None:
        look = self.session.look
        look.grain = GRAINS[(GRAINS.index(look.grain) + 1) % len(GRAINS)]
        self.status.show_status(f"read by {look.grain}")
        self.recompute()

    def action_strength(self, by: int) -> None:
        look = self.session.look
        near = min(range(len(_STRENGTHS)), key=lambda i: abs(_STRENGTHS[i] - look.strength))
        look.strength = _STRENGTHS[max(0, min(near + by, len(_STRENGTHS) - 1))]
        self.status.show_status(f"colours at strength {look.strength:g}")
        self.recompute()

    def action_letters(self) -> None:
        self.tokens.toggle_letters()
        self.session.look.letters = self.tokens.letters

    def action_captions(self) -> None:
        self.tokens.toggle_captions()
        self.session.look.captions = self.tokens.captions

    # Spans, samples, readings, media

    def action_span(self, by: int) -> None:
        response = self.tokens.response
        if self.state.answer is not None and len(response):
            k = response.next_span(self.tokens.cursor, by)
            if 0 <= k < len(response.spans):
                self.tokens.move_to(response.spans[k][0])

    def action_sample(self, by: int) -> None:
        if 0 <= self.state.place + by < len(self.state.ids):
            self._open(self.state.place + by)

    def action_reading(self, name: str) -> None:
        """Read in the order of generation, or by one of `READINGS`."""
        self.reading = name
        self.tokens.display = name == _TOKENS
        for other, reading in self.readings.items():
            reading.display = other == name
            self.set_class(other == name, f"-{other}")
        self._show_reading()
        self.set_focus(self.readings.get(name, self.tokens))

    def _show_reading(self) -> None:
        if self.state.answer is not None and self.reading in self.readings:
            self.readings[self.reading].show_answer(self.state.answer)

    def action_media(self) -> None:
        """Show or hide the media: beside the sources, or on a small terminal in their place."""
        if self.has_class("-wide"):
            self.session.look.media = not self.session.look.media
            self.set_class(self.session.look.media, "-media")
        else:
            self.toggle_class("-media-instead")
        self._show_step(self.tokens.cursor)

    def action_play(self) -> None:
        """Play the unit under the cursor of a table, or the one that the step is traced to."""
        answer, table = self.state.answer, self.focused
        if answer is None:
            return
        unit = table.unit_at(table.cursor) if isinstance(table, UnitTable) else None
        unit = int(answer.response.unit[self.tokens.cursor]) if unit is None else unit
        try:
            playing = self.session.play(answer.opened.trace, answer.attribution.units, unit)
            self.status.show_status(playing)
        except OmniTraceError as error:
            self.status.show_status(str(error), wrong=True)

    def action_prompt(self) -> None:
        if (answer := self.state.answer) is not None:
            cursor = self.tokens.cursor
            self.app.push_screen(PromptScreen(answer.opened.trace, answer.attribution, cursor))

    def action_back(self) -> None:
        """Undo one after another: the highlighting, the pin, the focus on a pane, the screen."""
        if self.highlights.clear():
            return
        if self.state.pinned is not None:
            self._pin(None)
        elif self.focused and self.query_one("#sources") in self.focused.ancestors:
            self.set_focus(self.readings.get(self.reading, self.tokens))
        else:
            self.dismiss(self.state.place)
