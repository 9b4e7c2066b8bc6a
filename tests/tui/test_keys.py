"""Every binding of every view is pressed, and something must come of it.

`KEYS` says, view by view, how to get there and where each key is worth pressing. A view or a key
that is bound and not listed fails the last test.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.binding import Binding, BindingType
from textual.pilot import Pilot
from textual.widget import Widget

import tui
from omnitrace import Run
from tests.tui.drive import browsing, press, shown
from tui.app import BrowseApp
from tui.draw.lines import Lines
from tui.draw.table import Table
from tui.help import HelpScreen
from tui.input_line import InputLine
from tui.options.panel import OptionPanel
from tui.readings.side_by_side import SideBySide
from tui.runs.samples import SampleList
from tui.runs.screen import RunScreen
from tui.trace.prompt import PromptScreen
from tui.trace.screen import TraceScreen
from tui.trace.tokens import TokenView


@dataclass(frozen=True)
class Keys:
    """How the keys of a view are tried: all of `path`, one after another, each of which must
    change something; then each of `leaving` alone, after `there`."""

    path: str
    there: str = ""
    leaving: str = ""
    sample: str | None = "kitchen-3"
    size: tuple[int, int] = (120, 40)


MOVES = "down up j k pagedown pageup end home G g"
KEYS: dict[type, Keys] = {
    BrowseApp: Keys("t escape question_mark escape ctrl+p", leaving="q"),
    HelpScreen: Keys(
        "question_mark escape question_mark question_mark", "question_mark", leaving="q"
    ),
    PromptScreen: Keys("v escape v v", "v", leaving="q"),
    InputLine: Keys("colon escape"),
    RunScreen: Keys("slash 9 enter escape s S D v", sample=None),
    SampleList: Keys(MOVES + " enter", sample=None),
    Table: Keys("tab " + MOVES + " enter", sample="kitchen-3", size=(120, 20)),
    OptionPanel: Keys(
        "e " + MOVES + " down down down down right left l h L H shift+right shift+left"
        " right r left backspace enter"
    ),
    SideBySide: Keys("b 3 " + MOVES + " o a down down down enter"),
    TokenView: Keys(
        "right l left h down j up k end home pagedown pageup G g ctrl+end ctrl+home full_stop"
        " comma slash w enter n N escape G up up up f g enter",
        size=(40, 20),
    ),
    TraceScreen: Keys(
        "s S right_square_bracket left_square_bracket 2 3 1 slash escape colon escape z z z"
        " p u U b d escape v escape i i m c plus minus e e w escape x escape y Y o",
        leaving="escape",
    ),
}


def bound(view: type) -> set[str]:
    """The keys that a class binds itself."""
    own: Iterable[BindingType] = view.__dict__.get("BINDINGS", ())
    made = (b if isinstance(b, Binding) else Binding(*b) for b in own)
    return {key.strip() for binding in made for key in binding.key.split(",")}


def state(pilot: Pilot[Any]) -> object:
    """What can be seen, and what was copied or chosen: whatever a key may change."""
    app = pilot.app
    if app.return_code is not None:
        return app.return_code
    seen = [(w.id, w.display, w.scroll_offset, w.size, shown(w)) for w in app.screen.query(Lines)]
    cursors = [table.cursor for table in app.screen.query(Table)]
    responses = [
        (w.cursor, w.pinned, w.response.level.tolist()) for w in app.screen.query(TokenView)
    ]
    inputs = [(line.display, line.value) for line in app.screen.query(InputLine)]
    focus = app.focused and (type(app.focused), app.focused.id)
    return type(app.screen), focus, seen, cursors, responses, inputs, app.clipboard


@pytest.mark.parametrize("view", KEYS)
async def test_every_key_does_something(
    run: Run, view: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keys, idle = KEYS[view], []
    async with browsing(run, keys.sample, size=keys.size, config=None) as pilot:
        was = state(pilot)
        for key in keys.path.split():
            await press(pilot, key)
            idle += [key] if state(pilot) == was else []
            was = state(pilot)
    assert idle == []
    for key in keys.leaving.split():
        async with browsing(run, keys.sample, size=keys.size) as pilot:
            await press(pilot, *keys.there.split())
            was = state(pilot)
            await press(pilot, key)
            assert state(pilot) != was


def views() -> list[type]:
    """Every class of the browser with bindings of its own."""
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(tui.__path__, "tui.")]
    classes = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Widget | App)
    }
    return sorted((c for c in classes if c.__module__.startswith("tui.") and bound(c)), key=str)


@pytest.mark.parametrize("view", views(), ids=lambda view: view.__name__)
def test_no_binding_is_without_a_test(view: type) -> None:
    assert view in KEYS
    assert bound(view) - {*KEYS[view].path.split(), *KEYS[view].leaving.split()} == set()
