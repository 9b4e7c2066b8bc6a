"""A reading is a file and a line in the registry: keys, help and place follow from its class."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from textual.binding import Binding

import tui.readings
from omnitrace import Run
from tests.tui.drive import browsing, press
from tui.readings import READINGS
from tui.readings.base import Reading
from tui.trace.screen import TraceScreen


def test_every_reading_is_in_the_registry() -> None:
    modules = [
        importlib.import_module(f"tui.readings.{module.name}")
        for module in pkgutil.iter_modules(tui.readings.__path__)
    ]
    classes = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Reading) and value is not Reading
    }
    assert classes == {*READINGS}
    assert len({reading.NAME for reading in READINGS}) == len(READINGS)


def test_the_key_of_a_reading_has_no_other_use() -> None:
    bound = {b.key: b.description for b in TraceScreen.BINDINGS if isinstance(b, Binding)}
    assert len(bound) == len(TraceScreen.BINDINGS)
    for reading in READINGS:
        assert bound[reading.KEY] == reading.LABEL


@pytest.mark.parametrize("reading", READINGS)
async def test_the_key_of_a_reading_shows_it_in_place_of_the_tokens(
    run: Run, reading: type[Reading]
) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, reading.KEY)
        shown = pilot.app.screen.query_one(f"#{reading.NAME}", Reading)
        assert shown.has_focus
        assert shown.count > 0
        assert [w.id for w in pilot.app.screen.query("#tokens, .reading") if w.display] == [
            shown.id
        ]
