"""The heading above the tokens and the inspector below: the sample, and one of its steps."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from rich.cells import cell_len

from omnitrace.timeline import Modality
from tui.draw.colours import LETTERS, Palette
from tui.draw.layout import clip, visible
from tui.draw.lines import Lines, Piece, heights
from tui.trace.names import name, number, spell, token_name
from tui.trace.state import StepView, TraceState
from tui.trace.step_detail import StepDetail


class Heading(Lines, can_focus=False):
    """The sample, its lengths, the configuration; the legend of the letters and hues."""

    def show_state(self, state: TraceState) -> None:
        """Show the sample of a state; its lengths once it is read."""
        session, trace = state.session, state.opened.trace if state.opened else None
        sizes = f"n {trace.n:,}  T {trace.T:,}  " if trace else ""
        config, baseline = session.history.now.name, session.baseline
        sample, compared = state.id, f"A {config}  B {baseline}" if baseline else config
        right = f"{sizes}{compared}  {state.place + 1}/{len(state.ids)} "

        def draw(row: int, width: int, palette: Palette) -> Iterable[Piece]:
            legend = [(LETTERS[m], f" {m.label}  ", palette.ink[m]) for m in list(Modality)[:4]]
            room = width - len(right) - sum(len(label) + 1 for _, label, _ in legend) - 3
            id = clip(sample, max(8, room))
            yield f" {id}  ", palette.strong
            for letter, label, style in legend if room >= 8 else ():
                yield letter, style
                yield label, palette.dim
            used = width - room - 3 if room >= 8 else len(right)
            yield " " * (width - used - cell_len(id) - 3), palette.plain
            yield right, palette.dim

        self.show(1, draw)


class Inspector(Lines, can_focus=False):
    """The text of some steps, the unit that they are traced to, top prompt tokens and layers."""

    view: StepView | None = None
    _detail: StepDetail | None = None

    def show_step(self, view: StepView) -> None:
        """Show the steps of a view; their top tokens and layers come with `show_detail`."""
        if self._detail and self._detail.steps != view.steps:
            self._detail = None
        self.view = view
        self._show(view)

    def show_detail(self, detail: StepDetail) -> None:
        """Add the top tokens and layers, if they are those of the steps that are view."""
        if self.view and self.view.steps == detail.steps:
            self._detail = detail
            self._show(self.view)

    def show_message(self, text: str, wrong: bool = False) -> None:
        self.view = self._detail = None
        super().show_message(text, wrong)

    def _show(self, view: StepView) -> None:
        detail = self._detail
        layered = detail is not None and detail.profile is not None
        rows = [_text, _numbers, _top, *([_layers] if layered else [])]

        def draw(row: int, width: int, palette: Palette) -> Iterable[Piece]:
            yield " ", palette.plain
            yield from rows[row](view, detail, width - 1, palette)

        self.show(len(rows), draw)


def _text(view: StepView, _: StepDetail | None, width: int, palette: Palette) -> Iterable[Piece]:
    trace, (first, last), span = view.trace, view.steps, view.span
    text = trace.response[trace.chars[first, 0] : trace.chars[last - 1, 1]]
    one = f"id {trace.response_ids[first]} · {visible(trace.pos[first])}"
    steps = f"step {first + 1}" if last - first == 1 else f"steps {first + 1}–{last}"
    place = f"{steps} of {trace.T}" + (f" · {one}" if last - first == 1 else "")
    place += f" · span {span + 1}" if span is not None else ""
    yield f"“{clip(spell(text), width - len(place) - 4)}”", palette.strong
    yield f"  {place}", palette.dim


def _numbers(view: StepView, _: StepDetail | None, width: int, palette: Palette) -> Iterable[Piece]:
    attribution, steps = view.attribution, slice(*view.steps)
    numbers = [
        ("confidence", number(float(attribution.confidence[steps].mean())).strip()),
        ("vote", number(float(attribution.vote[steps].sum())).strip()),
        ("log p", f"{view.trace.logprob[steps].sum():.2f}"),
        ("entropy", f"{view.trace.entropy[steps].mean():.2f}"),
    ]
    for label, value in numbers:
        yield f"{label} ", palette.dim
        yield f"{value}  ", palette.strong
    if view.unit >= 0:
        modality = Modality(attribution.units.modality[view.unit])
        used = sum(len(label) + len(value) + 3 for label, value in numbers)
        yield "→ ", palette.dim
        yield f"{LETTERS[modality]} ", palette.ink[modality]
        yield name(attribution.units, view.unit, width - used - 5), palette.plain


def _top(
    view: StepView, detail: StepDetail | None, width: int, palette: Palette
) -> Iterable[Piece]:
    """The prompt tokens with the largest scores, as many as there is room for; ✗: one that a filter
    dropped, so that its score is in no mass."""
    yield "top ", palette.dim
    room = width - 4
    for token, score in detail.top if detail else ():
        modality = Modality(view.trace.timeline.modality[token])
        text, size = clip(token_name(view.trace, token), 24), number(score).strip()
        filtered = bool(view.attribution.dropped[token])
        text = f"✗{text}" if filtered else text
        room -= cell_len(text) + len(size) + 5
        if room < 0:
            return
        yield f"{LETTERS[modality]} ", palette.ink[modality]
        yield f"{text} ", palette.dim if filtered else palette.plain
        yield f"{size}  ", palette.dim


def _layers(
    view: StepView, detail: StepDetail | None, width: int, palette: Palette
) -> Iterable[Piece]:
    """How much each layer gives to the unit, where that was recorded."""
    profile = detail.profile if detail else None
    if profile is None or not len(profile.layers):
        return
    top = float(profile.mass.max(initial=0.0))
    best = profile.layers[int(profile.mass.argmax())]
    yield f"layers {profile.layers[0]}–{profile.layers[-1]} ", palette.dim
    shares = np.maximum(profile.mass, 0) / top if top > 0 else profile.mass * 0
    yield heights(shares.tolist()[: max(0, width - 40)]), palette.strong
    yield f" {profile.what}, most in {best}", palette.dim
