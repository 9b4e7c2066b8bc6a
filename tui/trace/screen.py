"""One sample under the reader's keys: what is found, compared, configured, played and exported."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType

from omnitrace import CommandError, OmniTraceError
from omnitrace.config import to_toml
from omnitrace.text import safe_text
from tui.ask import Ask
from tui.compare import span_at
from tui.draw.table import Table
from tui.export import KINDS, View, exported, span_text
from tui.files import write_text
from tui.knobs import Changed, Knobs
from tui.memory import GRAINS
from tui.readings.cause import explained
from tui.readings.side_by_side import SideBySide
from tui.trace.base import TraceBase
from tui.trace.find import place_of
from tui.trace.marks import caused
from tui.trace.prompt import PromptScreen
from tui.trace.sources import UnitTable

_FIND = "words, pos:NOUN, unit:audio, from:image, confidence>0.5, logp<-2, is:disputed; - negates"
_STRENGTHS = (0.4, 0.6, 0.8, 1.0, 1.4, 2.0, 3.0)


class TraceScreen(TraceBase):
    """The trace view with its keys."""

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

    # Moving

    def action_span(self, by: int) -> None:
        marked = self.tokens.marked
        if self._shown is None or not len(marked):
            return
        k = marked.span_beside(self.tokens.cursor, by)
        if 0 <= k < len(marked.spans):
            self.tokens.move_to(marked.spans[k][0])

    # What stands out: found steps, the steps that a source caused, what differs

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
            self._tell_partings(message.row)
            if isinstance(message, Table.Chosen):
                self.action_reading("tokens")

    def _tell_partings(self, row: int) -> None:
        """What may explain that signal and cause part ways at the sources of a row."""
        cause = self._weighed.cause if self._weighed else None
        if cause is not None and not cause.amiss:
            entries = self.query_one(SideBySide).partings_at(row)
            told = [
                f"{e.text} · {explained(e.parting, cause.method)}" for e in entries if e.parting
            ]
            self.tell(" · ".join(told))

    def action_cause(self) -> None:
        """Let another method say what the cause was, where ablations were recorded."""
        session, known = self.session, self._weighed
        if known is not None and known.method is not None and known.cause is None:
            self.tell_nobody(
                "No ablations of this sample are recorded: see omnitrace ablate-inputs."
            )
            return
        session.next_cause()
        self.tell(f"the cause by {session.cause}" if session.cause else "without the cause")
        self._show_reading()

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
            self.call_after_refresh(self._export, text)  # when the picture shows no question

    @on(Table.Chosen, "#knobs")
    def _type_value(self) -> None:
        knobs = self.query_one(Knobs)
        if knobs.knob is not None and knobs.config is not None:
            value = knobs.knob.value(knobs.config)
            self.query_one(Ask).ask("value", f"{knobs.knob.name}: {knobs.knob.help}", str(value))

    def _to_first_lit(self, after: bool = False) -> None:
        """To a step that stands out, the next one first; `after`: not where the cursor is."""
        lit, cursor = self.tokens.lit, self.tokens.cursor
        if lit is not None and (after or not lit[cursor]):
            self.tokens.action_lit(1 if lit[cursor + after :].any() else -1)

    # Three readings

    @property
    def reading(self) -> str:
        """How the answer is read: `tokens`, `by-source` or `side-by-side`."""
        shown = (name for name in ("by-source", "side-by-side") if self.has_class(f"-{name}"))
        return next(shown, "tokens")

    def action_reading(self, reading: str) -> None:
        """In the order of generation, by source, or side by side."""
        for other in ("by-source", "side-by-side"):
            self.set_class(other == reading, f"-{other}")
        self._show_reading()
        self.set_focus(self.query_one(f"#{reading}"))

    # Media

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

    def _export(self, name: str) -> None:
        if self._shown is None:
            return
        try:
            self._save(name, exported(self._view(), name), "written to")
        except CommandError as error:
            self.tell(str(error), wrong=True)

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
        """Leave, one after another: what stands out, the pin, a pane beside, the screen."""
        if self.tokens.lit is not None or self._sought:
            self._sought = ""
            self.light(None)
            self.tell("")
        elif self._pinned is not None:
            self._pinned = None
            self.tokens.pin(None)
            self._show(self.tokens.cursor)
        elif self.focused and self.query_one("#sources") in self.focused.ancestors:
            self.set_focus(self.query_one(f"#{self.reading}"))
        else:
            self.dismiss(self.place)
