"""The browser in a terminal of a test: opened, driven by keys, read back as text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np
from textual import events
from textual.keys import _character_to_key  # private: what the terminal's driver calls
from textual.pilot import Pilot

from omnitrace import Run
from tests.tui.samples import PLAIN, done, settle
from tui.app import BrowseApp, Start
from tui.draw.lines import Lines
from tui.look import Look
from tui.trace.tokens import TokenView

W = TypeVar("W")
SMALL, LARGE = (80, 24), (200, 60)


@asynccontextmanager
async def browsing(
    run: Run,
    sample: str | None = None,
    size: tuple[int, int] = SMALL,
    look: Look | None = None,
    **start: Any,
) -> AsyncIterator[Pilot[None]]:
    """The browser at `sample`, under a configuration that holds if our advice changes."""
    app = BrowseApp(run, Start(sample, **({"config": PLAIN} | start)), look)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        yield pilot


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Press keys, one after another, and wait until all is shown.

    Not by `pilot.press`, which waits for an idle processor, 90 ms a key.
    """
    for key in keys:
        named = len(key) > 1
        name = key if named else _character_to_key(key)
        pilot.app.post_message(events.Key(name, None if named else key))
        await done(pilot)
    await settle(pilot)


def text(pilot: Pilot[None], selector: str) -> str:
    """What a widget of the screen shows, row after row."""
    return shown(pilot.app.screen.query_one(selector, Lines))


def shown(widget: Lines) -> str:
    """What a widget shows, row after row."""
    height = widget.scrollable_content_region.height
    return "\n".join(widget.render_line(y).text.rstrip() for y in range(height)).rstrip()


def title(pilot: Pilot[None], selector: str) -> str:
    """What stands in the border of a widget."""
    return str(pilot.app.screen.query_one(selector).border_title)


def tokens(pilot: Pilot[None]) -> TokenView:
    """The response of the trace view."""
    return pilot.app.screen.query_one(TokenView)


def lit(pilot: Pilot[None]) -> list[int] | None:
    """The steps that stand out, if any do."""
    steps = tokens(pilot).highlighted
    return None if steps is None else np.flatnonzero(steps).tolist()


def on_screen(pilot: Pilot[None], kind: type[W]) -> W:
    """The screen, which must be of this kind."""
    screen = pilot.app.screen
    assert isinstance(screen, kind)
    return screen
