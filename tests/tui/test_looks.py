"""The browser's looks at two sizes and in two themes: `pytest --snapshot-update` accepts them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from omnitrace import Run
from tests.tui.picture import take_picture
from tests.tui.samples import PLAIN, settle
from tui import BrowseApp, Start

SMALL, LARGE = (80, 24), (120, 40)
LOOKS = [
    pytest.param(SMALL, "textual-dark", (), id="samples"),
    pytest.param(SMALL, "textual-dark", ("enter", "s", "right", "right"), id="trace-dark"),
    pytest.param(LARGE, "textual-light", ("enter", "s", "right", "right"), id="trace-light"),
    pytest.param(LARGE, "textual-dark", ("enter", "G", "m"), id="letters"),
    pytest.param(SMALL, "textual-light", ("enter", "v"), id="prompt"),
    pytest.param(SMALL, "textual-dark", ("enter", "question_mark"), id="keys"),
]


def pressing(keys: tuple[str, ...]) -> Callable[[Pilot[Any]], Awaitable[None]]:
    async def drive(pilot: Pilot[Any]) -> None:
        for key in ("", *keys):
            await pilot.press(*filter(None, [key]))
            await settle(pilot)

    return drive


@pytest.mark.parametrize(("size", "theme", "keys"), LOOKS)
def test_looks(
    run: Run,
    snap_compare: Callable[..., bool],
    size: tuple[int, int],
    theme: str,
    keys: tuple[str, ...],
) -> None:
    app = BrowseApp(run, Start(config=PLAIN))
    app.theme = theme
    assert snap_compare(app, terminal_size=size, run_before=pressing(keys))


async def test_the_readme_picture_shows_the_answer_and_its_sources(run: Run) -> None:
    svg = await take_picture(run, "kitchen-0", ["s"])
    assert svg.startswith("<svg")
    assert "image&#160;1" in svg
