"""One sample: its response as coloured tokens, the step and the span under the cursor, sources.

Reads and attributes in a worker thread, never on the thread that draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer

from omnitrace import OmniTraceError, Trace
from omnitrace.timeline import Modality
from replay import Attribution, ReplayConfig, Replayer
from tui.colours import levels
from tui.inspector import Heading, Inspector, Place
from tui.layout import show_steps
from tui.lines import Lines
from tui.prompt import PromptScreen
from tui.sources import SpanSources, StepSources, name
from tui.tokens import Marked, Moved, TokenView


@dataclass
class Attributed(Message):
    """What was `wanted`, a sample's place under a preset, is attributed."""

    wanted: tuple[int, str]
    replayer: Replayer
    attribution: Attribution
    marked: Marked


@dataclass
class Failed(Message):
    """What was `wanted` could not be read or attributed: what to show in its place."""

    wanted: tuple[int, str]
    reason: str


class TraceScreen(Screen[int]):
    """Reads the samples of a run one at a time; gives back the place of the last one read."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 (Textual's name)
    AUTO_FOCUS = "#tokens"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "span(1)", "Next span"),
        Binding("N", "span(-1)", "Previous span", show=False),
        Binding("right_square_bracket", "sample(1)", "Next sample", show=False),
        Binding("left_square_bracket", "sample(-1)", "Previous sample", show=False),
        Binding("p", "preset", "Preset"),
        Binding("v", "prompt", "Prompt"),
        Binding("m", "letters", "Modality letters", show=False),
        Binding("c", "captions", "Sources"),
        Binding("escape", "back", "Back"),
    ]

    def __init__(
        self,
        run: Mapping[str, Trace],
        ids: Sequence[str],
        place: int,
        configs: Mapping[str, ReplayConfig],
    ) -> None:
        super().__init__()
        self.run, self.ids, self.place, self.configs = run, ids, place, configs
        self.preset = next(iter(configs))
        self._replayer: Replayer | None = None
        self._attribution: Attribution | None = None

    def compose(self) -> ComposeResult:
        yield Heading("heading")
        with Container(id="body"):
            yield TokenView("tokens")
            with Container(id="sources"):
                yield StepSources("step-sources")
                yield SpanSources("span-sources")
        yield Inspector("inspector")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(TokenView).letters = self.app.no_color
        self._open()

    # Reading and attributing

    @property
    def _wanted(self) -> tuple[int, str]:
        return self.place, self.preset

    def _open(self) -> None:
        self._replayer = self._attribution = None
        self.query_one(TokenView).cursor = 0
        self._blank("Reading…")
        self._attribute(self._wanted, self._replayer)

    def _blank(self, message: str, wrong: bool = False) -> None:
        self._head()
        self.query_one(TokenView).say(message, wrong)
        for widget in self.query("#inspector, #step-sources, #span-sources").results(Lines):
            widget.border_title = ""
            widget.say("")

    def _head(self) -> None:
        place = Place(self.ids[self.place], self.place + 1, len(self.ids), self.preset)
        trace = self._replayer.trace if self._replayer else None
        self.query_one(Heading).show_place(place, (trace.n, trace.T) if trace else None)

    @work(thread=True, exclusive=True)
    def _attribute(self, wanted: tuple[int, str], replayer: Replayer | None) -> None:
        place, preset = wanted
        try:
            replayer = replayer or Replayer(self.run[self.ids[place]])
            attribution = replayer.attribute(self.configs[preset])
            marked = mark(replayer.trace, attribution)
            self.post_message(Attributed(wanted, replayer, attribution, marked))
        except OmniTraceError as error:
            self.post_message(Failed(wanted, str(error)))

    def on_failed(self, message: Failed) -> None:
        if message.wanted == self._wanted:
            self._attribution = None
            self._blank(message.reason, wrong=True)

    def on_attributed(self, message: Attributed) -> None:
        if message.wanted != self._wanted:
            return  # the reader has gone on
        self._replayer, self._attribution = message.replayer, message.attribution
        self._head()
        tokens = self.query_one(TokenView)
        if not len(message.marked):
            self._blank("The response is empty: the model generated no token.")
            return
        tokens.mark(message.marked, tokens.cursor)
        self._show_step(tokens.cursor)

    # The cursor

    def on_moved(self, message: Moved) -> None:
        self._show_step(message.step)

    def _show_step(self, step: int) -> None:
        if self._attribution is None or self._replayer is None:
            return
        k = span_at(self._attribution, step)
        trace = self._replayer.tagged(self._attribution.config.tags)
        self.query_one(Inspector).show_step(trace, self._attribution, step, k)
        self.query_one(StepSources).show_step(self._attribution, step)
        if k is not None:
            self.query_one(SpanSources).show_span(self._attribution, k)

    def action_span(self, by: int) -> None:
        if self._attribution is None:
            return
        tokens = self.query_one(TokenView)
        k = span_at(self._attribution, tokens.cursor)
        spans = self._attribution.spans
        if k is not None and 0 <= k + by < len(spans):
            tokens.move_to(spans[k + by].steps[0])

    # Other things to read

    def action_sample(self, by: int) -> None:
        if 0 <= self.place + by < len(self.ids):
            self.place += by
            self._open()

    def action_preset(self) -> None:
        names = [*self.configs]
        self.preset = names[(names.index(self.preset) + 1) % len(names)]
        self._head()
        self._attribute(self._wanted, self._replayer)

    def action_prompt(self) -> None:
        if self._attribution is not None and self._replayer is not None:
            step = self.query_one(TokenView).cursor
            self.app.push_screen(PromptScreen(self._replayer.trace, self._attribution, step))

    def action_letters(self) -> None:
        self.query_one(TokenView).toggle_letters()

    def action_captions(self) -> None:
        self.query_one(TokenView).toggle_captions()

    def action_back(self) -> None:
        self.dismiss(self.place)


def span_at(attribution: Attribution, step: int) -> int | None:
    """The span that holds a step."""
    spans = (k for k, s in enumerate(attribution.spans) if s.steps[0] <= step < s.steps[1])
    return next(spans, None)


def mark(trace: Trace, attribution: Attribution) -> Marked:
    """The response with the marks that an attribution gives its steps."""
    shown = show_steps(trace.response, trace.chars)
    kinds = [Modality(kind) for kind in attribution.units.modality.tolist()]
    span = np.full(trace.T, -1, np.int32)
    for k, found in enumerate(attribution.spans):
        span[slice(*found.steps)] = k
    return Marked(
        shown=shown,
        first=shown.first(trace.T),
        modality=tuple(
            kinds[unit] if unit >= 0 else Modality.SPECIAL for unit in attribution.unit.tolist()
        ),
        level=levels(attribution.confidence),
        spans=tuple(found.steps for found in attribution.spans),
        sources=tuple(
            tuple((kinds[s.unit], name(attribution.units, s.unit, 40)) for s in found.sources)
            for found in attribution.spans
        ),
        span=span,
    )
