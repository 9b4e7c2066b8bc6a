"""One sample: its response as coloured tokens, the step and the span under the cursor, sources.

Reads and attributes in a worker thread, never on the thread that draws. What was asked for and
what arrives are compared, so that keys pressed in a hurry end where they should.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer

from omnitrace import CommandError, OmniTraceError
from omnitrace.config import to_toml
from omnitrace.text import safe_text
from replay import Attribution
from tui.ask import Ask
from tui.compare import span_at
from tui.draw.lines import Lines
from tui.draw.table import Table
from tui.export import KINDS, View, exported, span_text
from tui.files import write_text
from tui.knobs import Changed, Knobs
from tui.media.view import MediaView
from tui.memory import GRAINS
from tui.readings.by_source import BySource
from tui.readings.side import Beside, sides_of
from tui.readings.side_by_side import SideBySide
from tui.session import Session
from tui.trace.find import columns_of, place_of
from tui.trace.inspector import Heading, Inspected, Inspector, Place
from tui.trace.marks import NOTHING, Bool, caused, unmarked
from tui.trace.overview import Overview
from tui.trace.prompt import PromptScreen
from tui.trace.rows import Depth
from tui.trace.sources import Beside as BesideSpan
from tui.trace.sources import SpanSources, StepSources, UnitTable
from tui.trace.tokens import Moved, Pinned, TokenView
from tui.trace.work import Attributed, Deepened, Failed, Opened, Read, Wanted, attributed

_FIND = "words, pos:NOUN, unit:audio, from:image, confidence>0.5, logp<-2, is:disputed; - negates"
_STRENGTHS = (0.4, 0.6, 0.8, 1.0, 1.4, 2.0, 3.0)


class TraceScreen(Screen[int]):
    """Reads the samples of a run one at a time; gives back the place of the last one read."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 (Textual's name)
    AUTO_FOCUS = "#tokens"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "span(1)", "Next span"),
        Binding("S", "span(-1)", "Previous span", show=False),
        Binding("right_square_bracket", "sample(1)", "Next sample", show=False, key_display="]"),
        Binding(
            "left_square_bracket", "sample(-1)", "Previous sample", show=False, key_display="["
        ),
        Binding("1", "reading('tokens')", "In order", show=False),
        Binding("2", "reading('by-source')", "By source", show=False),
        Binding("3", "reading('side-by-side')", "Side by side", show=False),
        Binding("slash", "find", "Find", key_display="/"),
        Binding("colon", "go", "Go to", show=False, key_display=":"),
        Binding("z", "grain", "Token, word, span", show=False),
        Binding("p", "preset", "Preset"),
        Binding("b", "beside", "Compare"),
        Binding("d", "disputed", "Light what differs", show=False),
        Binding("e", "knobs", "Configure"),
        Binding("w", "save", "Save the configuration", show=False),
        Binding("u", "undo", "Undo", show=False),
        Binding("U", "redo", "Redo", show=False),
        Binding("v", "prompt", "Prompt"),
        Binding("x", "export", "Export", show=False),
        Binding("y", "copy_span", "Copy the span", show=False),
        Binding("Y", "copy_link", "Copy a link to this step", show=False),
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
        self.session, self.ids, self.place = session, ids, place
        self._start = step
        self._opened: Opened | None = None
        self._shown: Attributed | None = None
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
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#told", Lines).can_focus = False
        look, tokens = self.session.look, self.tokens
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
        self._opened = self._shown = self._pinned = None
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

    def on_moved(self, message: Moved) -> None:
        self._show(message.step)

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
        self.query_one(Inspector).inspect(Inspected(trace, attribution, steps, unit, k))
        self.query_one(StepSources).show_steps(attribution, steps, unit)
        beside = None
        if shown.other is not None and (theirs := span_at(shown.other, step)) is not None:
            beside = BesideSpan(shown.other, theirs)
        self.query_one(SpanSources).show_span(attribution, k, beside)
        self._deepen(shown, steps)

    @work(thread=True, exclusive=True, group="deepen", description="deepen")
    def _deepen(self, shown: Attributed, steps: tuple[int, int]) -> None:
        try:
            depth = shown.opened.reader.depth(shown.attribution, steps)
            self.post_message(Deepened(shown.attribution, depth))
        except OmniTraceError as error:
            self.app.call_from_thread(self.tell, str(error), True)

    def on_deepened(self, message: Deepened) -> None:
        if message.attribution is self.attribution:
            self.query_one(Inspector).deepen(message.depth)
            self._show_media(message.depth)
            self.set_class(message.depth.profile is not None, "-layered")

    def action_span(self, by: int) -> None:
        marked = self.tokens.marked
        if self._shown is None or not len(marked):
            return
        k = int(marked.span[self.tokens.cursor]) + by
        if 0 <= k < len(marked.spans):
            self.tokens.move_to(marked.spans[k][0])

    # What stands out: found steps, the steps that a source caused, what differs

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

    @on(Table.Pointed)
    @on(Table.Chosen)
    def _pointed(self, message: Table.Pointed | Table.Chosen) -> None:
        table, attribution = message.table, self.attribution
        if attribution is None or not isinstance(table, UnitTable):
            return
        unit = table.unit_at(message.row)
        if unit is not None and unit >= 0:
            self.light(caused(attribution, unit), f"traced to {attribution.units.label[unit]}")
            if isinstance(message, Table.Chosen):
                self._to_first_lit(after=True)

    @on(Table.Pointed, "#side-by-side")
    @on(Table.Chosen, "#side-by-side")
    def _pointed_at_span(self, message: Table.Pointed | Table.Chosen) -> None:
        k = self.query_one(SideBySide).span_at(message.row)
        if k is not None and self._shown is not None:
            self.tokens.move_to(self._shown.marked.spans[k][0])
            if isinstance(message, Table.Chosen):
                self.action_reading("tokens")

    def action_disputed(self) -> None:
        if self._shown is None or self._shown.other is None:
            self.tell("Press b first: it says what to compare with.")
        else:
            self.light(self._shown.marked.disputed, f"other sources under {self.session.baseline}")

    def action_find(self) -> None:
        self.query_one(Ask).ask("find", _FIND, self._sought)

    def action_go(self) -> None:
        self.query_one(Ask).ask("go", "a step, as 12, or a span, as s3")

    @on(Ask.Typed)
    def _asked(self, message: Ask.Typed) -> None:
        if message.text is None or self._shown is None:
            return
        try:
            if message.purpose == "find":
                self._find(message.text)
            elif message.purpose == "go" and message.done:
                trace, attribution = self._shown.opened.trace, self._shown.attribution
                self.tokens.move_to(place_of(message.text, trace, attribution))
            elif message.done and message.text.strip():
                self._given(message.purpose, message.text.strip())
        except CommandError as error:
            self._sought = ""
            self.tokens.light(None)
            self.tell(str(error), wrong=True)
            return
        if message.purpose == "find" and message.done and self._sought:
            self._to_first_lit()

    def _given(self, purpose: str, text: str) -> None:
        """What was asked for and given: a value of the configuration, a file to save it to."""
        if purpose == "value":
            self.query_one(Knobs).put_text(text)
        elif purpose == "save":
            self._save(text, to_toml(self.session.config), "omnitrace replay RUN --config")
        elif purpose == "export":
            self._save(text, exported(self._view(), text), "written to")

    @on(Table.Chosen, "#knobs")
    def _type_value(self) -> None:
        knobs = self.query_one(Knobs)
        if knobs.knob is not None and knobs.config is not None:
            value = knobs.knob.value(knobs.config)
            self.query_one(Ask).ask("value", f"{knobs.knob.name}: {knobs.knob.help}", str(value))

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

    def _to_first_lit(self, after: bool = False) -> None:
        """To a step that stands out, the next one first; `after`: not where the cursor is."""
        lit, cursor = self.tokens.lit, self.tokens.cursor
        if lit is not None and (after or not lit[cursor]):
            self.tokens.action_lit(1 if lit[cursor + after :].any() else -1)

    # Three readings

    def action_reading(self, reading: str) -> None:
        """In the order of generation, by source, or side by side."""
        for other in ("by-source", "side-by-side"):
            self.set_class(other == reading, f"-{other}")
        self._show_reading()
        self.set_focus(self.query_one(f"#{reading}"))

    def _show_reading(self) -> None:
        shown = self._shown
        if shown is None:
            return
        if self.has_class("-by-source"):
            self.query_one(BySource).show_uses(shown.attribution)
        elif self.has_class("-side-by-side"):
            other = (self.session.baseline or "", shown.other) if shown.other else None
            voices = Beside(shown.opened.trace, shown.attribution, other, shown.gold)
            self.query_one(SideBySide).show_sides(sides_of(voices))
            if other is None and shown.gold is None:
                self.tell(
                    "Nobody to compare with: press b for another preset, or start with --labels."
                )

    # Media

    def _show_media(self, depth: Depth) -> None:
        shown, media = self._shown, self.query_one(MediaView)
        if shown is not None and shown.opened.trace.media and media.display:
            k = int(shown.marked.span[depth.steps[0]])
            media.show_scene(shown.attribution, shown.opened.trace, depth, k)

    def action_media(self) -> None:
        """Show or hide the media: beside the sources, or on a small terminal in their place."""
        if self.has_class("-wide"):
            self.session.look.media = not self.session.look.media
            self.set_class(self.session.look.media, "-media")
        else:
            self.toggle_class("-media-instead")
        self._show(self.tokens.cursor)

    def action_play(self) -> None:
        """Play the unit that is pointed at, or the one that the step is traced to."""
        shown, focused = self._shown, self.focused
        if shown is None:
            return
        unit = focused.unit_at(focused.cursor) if isinstance(focused, UnitTable) else None
        unit = int(shown.marked.unit[self.tokens.cursor]) if unit is None else unit
        try:
            self.tell(self.session.play(shown.opened.trace, shown.attribution.units, unit))
        except OmniTraceError as error:
            self.tell(str(error), wrong=True)

    # Configurations

    def action_preset(self) -> None:
        self.session.history.next_preset()
        self.ask_for()

    def action_beside(self) -> None:
        self.session.next_baseline()
        self.tell("")
        self.ask_for()

    def action_knobs(self) -> None:
        """Show the configuration and go there, or hide it."""
        look, knobs = self.session.look, self.query_one(Knobs)
        look.knobs = not (look.knobs and knobs.has_focus)
        self.set_class(look.knobs, "-knobs")
        self.set_focus(knobs if look.knobs else self.tokens)

    def on_changed(self, message: Changed) -> None:
        if self.session.history.change(message.config):
            self.ask_for()

    def action_save(self) -> None:
        self.query_one(Ask).ask("save", "a file for this configuration", "omnitrace.toml")

    def _save(self, name: str, content: str, done: str) -> None:
        """Write a file; one that is there already only when the reader says so again."""
        path = Path(name).expanduser()
        again, self._overwrite = self._overwrite == path, path
        if path.exists() and not again:
            self.query_one(Ask).ask(self.query_one(Ask).purpose, "", name)
            self.tell(f"{path} is there already: Enter replaces it, Escape does not.", wrong=True)
            return
        write_text(path, content, replace=again)
        self._overwrite = None
        self.tell(f"{done} {shlex.quote(str(path))}")

    def action_undo(self) -> None:
        if self.session.history.undo():
            self.ask_for()

    def action_redo(self) -> None:
        if self.session.history.redo():
            self.ask_for()

    # Out of the browser

    def _view(self) -> View:
        assert self._shown is not None
        shown = self._shown
        picture = partial(self.app.export_screenshot, title="omnitrace browse")
        return View(shown.attribution, shown.marked, self.tokens.palette, picture)

    def action_export(self) -> None:
        if self._shown is not None:
            self.query_one(Ask).ask("export", f"a name in .{', .'.join(KINDS)}", "attribution.html")

    def action_copy_span(self) -> None:
        if (attribution := self.attribution) is not None:
            k = span_at(attribution, self.tokens.cursor)
            if k is not None:
                self.app.copy_to_clipboard(span_text(attribution, k))
                self.tell(f"span {k + 1} is copied, if the terminal allows it")

    def action_copy_link(self) -> None:
        """Copy the command that opens this sample at this step."""
        sample, step = self.ids[self.place], self.tokens.cursor + 1
        quoted = [shlex.quote(safe_text(part)) for part in (self.session.run.path, sample)]
        link = f"omnitrace browse {quoted[0]} --sample {quoted[1]} --step {step}"
        self.app.copy_to_clipboard(link)
        self.tell(link)

    # How it looks

    def action_grain(self) -> None:
        look = self.session.look
        look.grain = GRAINS[(GRAINS.index(look.grain) + 1) % len(GRAINS)]
        self.tell(f"read by {look.grain}")
        self.ask_for()

    def action_strength(self, by: int) -> None:
        look = self.session.look
        near = min(range(len(_STRENGTHS)), key=lambda i: abs(_STRENGTHS[i] - look.strength))
        look.strength = _STRENGTHS[max(0, min(near + by, len(_STRENGTHS) - 1))]
        self.tell(f"colours at strength {look.strength:g}")
        self.ask_for()

    def action_letters(self) -> None:
        self.tokens.toggle_letters()
        self.session.look.letters = self.tokens.letters

    def action_captions(self) -> None:
        self.tokens.toggle_captions()
        self.session.look.captions = self.tokens.captions

    # Other things to read

    def action_sample(self, by: int) -> None:
        if 0 <= self.place + by < len(self.ids):
            self.place += by
            self._open()

    def action_prompt(self) -> None:
        if self._shown is not None:
            trace, attribution = self._shown.opened.trace, self._shown.attribution
            self.app.push_screen(PromptScreen(trace, attribution, self.tokens.cursor))

    def action_back(self) -> None:
        """Leave, one after another: what stands out, the pin, the screen."""
        if self.tokens.lit is not None or self._sought:
            self._sought = ""
            self.light(None)
            self.tell("")
        elif self._pinned is not None:
            self._pinned = None
            self.tokens.pin(None)
            self._show(self.tokens.cursor)
        else:
            self.dismiss(self.place)
