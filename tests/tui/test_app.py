"""The whole browser: keys that hold everywhere, sizes, where it begins."""

from __future__ import annotations

import pytest
from textual.binding import Binding

from omnitrace import CommandError, Run
from tests.tui.drive import browsing, press, text, tokens
from tests.tui.samples import settle
from tui.app import BrowseApp, Start, browse
from tui.trace.screen import TraceScreen
from tui.trace.tokens import TokenView


@pytest.mark.parametrize("close", ["escape", "question_mark"])
async def test_help_lists_every_described_key(run: Run, close: str) -> None:
    async with browsing(run, "kitchen-0", size=(80, 60)) as pilot:
        await press(pilot, "question_mark")
        listed = text(pilot, "#keys")
        described = (*TokenView.BINDINGS, *TraceScreen.BINDINGS, *BrowseApp.BINDINGS)
        assert all(b.description in listed for b in described if isinstance(b, Binding))
        assert "Strength" in text(pilot, "#legend")
        await press(pilot, close)
        assert isinstance(pilot.app.screen, TraceScreen)


@pytest.mark.parametrize("first", [(), ("enter",), ("enter", "v"), ("question_mark",)])
async def test_q_quits_everywhere(run: Run, first: tuple[str, ...]) -> None:
    async with browsing(run) as pilot:
        await press(pilot, *first, "q")
        assert pilot.app.return_code == 0


async def test_t_changes_the_theme(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        before = tokens(pilot).render_line(0)
        await press(pilot, "t", *"textual-light", "enter")
        assert pilot.app.theme == "textual-light"
        after = tokens(pilot).render_line(0)
        assert after.text == before.text
        assert [s.style for s in after] != [s.style for s in before]


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 12), (10, 5)])
async def test_the_browser_works_at_every_size(run: Run, size: tuple[int, int]) -> None:
    async with browsing(run, "kitchen-0", size=size) as pilot:
        await press(pilot, "G", "v", "escape", "question_mark", "escape")
        assert tokens(pilot).cursor == 26
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert "Then a square moves left." in text(pilot, "#tokens")


def test_browse_names_an_unknown_sample(run: Run) -> None:
    with pytest.raises(CommandError, match="kitchen-99"):
        browse(run, Start("kitchen-99"))


def test_browse_needs_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.__stdin__", None)
    with pytest.raises(CommandError, match="needs a terminal"):
        browse(run)


@pytest.mark.parametrize("step", [0, 28])
def test_browse_names_the_steps_that_there_are(run: Run, step: int) -> None:
    with pytest.raises(CommandError, match=f"steps 1 to 27, not {step}"):
        browse(run, Start("kitchen-3", step))


async def test_a_link_opens_a_sample_at_a_step(run: Run) -> None:
    async with browsing(run, "kitchen-3", step=20) as pilot:
        assert "kitchen-3" in text(pilot, "#heading")
        assert "step 20 of 27" in text(pilot, "#inspector")
