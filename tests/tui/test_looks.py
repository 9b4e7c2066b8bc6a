"""The browser's looks at two sizes and in two themes: `pytest --snapshot-update` accepts them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from omnitrace import Run
from tests.tui.drive import LARGE, SMALL
from tests.tui.keys_table import PAGE, page_with, tables
from tests.tui.samples import PLAIN, settle, write_ablated
from tests.tui.screenshots import DOCS, SCREENSHOTS, take_screenshot
from tui.app import BrowseApp, Start

DARK, LIGHT = "textual-dark", "textual-light"
LOOKS = [
    pytest.param(SMALL, DARK, (), id="samples-small"),
    pytest.param(LARGE, LIGHT, ("down",), id="samples-large"),
    pytest.param(SMALL, DARK, ("enter", "s", "right", "right"), id="trace-small"),
    pytest.param(SMALL, LIGHT, ("enter", "G", "m"), id="letters-small"),
    pytest.param(LARGE, LIGHT, ("enter", "s", "right", "right"), id="trace-large"),
    pytest.param(SMALL, DARK, ("enter", "e", "down"), id="configuration-small"),
    pytest.param(LARGE, DARK, ("enter", "e", "b", "b"), id="configuration-large"),
    pytest.param(SMALL, LIGHT, ("enter", "2"), id="by-source-small"),
    pytest.param(LARGE, DARK, ("enter", "b", "b", "3"), id="side-by-side-large"),
    pytest.param(SMALL, DARK, ("enter", "s", "i"), id="media-small"),
    pytest.param(SMALL, LIGHT, ("enter", "v"), id="prompt-small"),
    pytest.param(LARGE, DARK, ("enter", "question_mark"), id="keys-large"),
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


def test_the_look_of_signal_against_cause(
    tmp_path: Path, snap_compare: Callable[..., bool]
) -> None:
    config = replace(PLAIN, units=replace(PLAIN.units, request="leave-out"))
    app = BrowseApp(write_ablated(tmp_path / "run"), Start(config=config))
    app.theme = DARK
    keys = pressing(("3", "o", "down", "down"))
    assert snap_compare(app, terminal_size=SMALL, run_before=keys)


async def test_the_readme_picture_shows_the_answer_and_its_sources(run: Run) -> None:
    svg = await take_screenshot(run, Start("kitchen-0"), ["s"], (110, 32))
    assert svg.startswith("<svg")
    assert "image&#160;1" in svg


def test_the_page_has_the_keys_that_are_bound() -> None:
    page = PAGE.read_text("utf-8")
    assert page == page_with(tables(), page)


def test_every_picture_of_the_page_is_there() -> None:
    assert {*re.findall(r"\((browse[\w-]*\.svg)\)", PAGE.read_text("utf-8"))} == {*SCREENSHOTS}
    assert all((DOCS / name).is_file() for name in SCREENSHOTS)
