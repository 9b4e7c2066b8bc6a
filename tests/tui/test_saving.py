"""Files that the user saves: whole, and replaced only by a second attempt on the same name."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.app import App, ComposeResult

from omnitrace import CommandError
from tests.tui.drive import shown
from tui.input_line import InputLine
from tui.saving import Saver
from tui.status import StatusLine


class Alone(App[None]):
    """An application with an input line and a status line."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.status = InputLine(), StatusLine()

    def compose(self) -> ComposeResult:
        yield self.input
        yield self.status


async def test_a_file_is_replaced_by_a_second_attempt_only(tmp_path: Path) -> None:
    app, path, other = Alone(), tmp_path / "a.txt", tmp_path / "b.txt"
    other.write_text("b")
    async with app.run_test(size=(200, 5)) as pilot:
        saver = Saver(app.input, app.status)
        saver.save(str(path), "one", "written to")
        await pilot.pause()
        assert shown(app.status).strip() == f"written to {path}"
        for name in (path, other, path):
            saver.save(str(name), "two", "written to")
            assert app.input.display
            assert "is there already" in shown(app.status)
        assert (path.read_text(), other.read_text()) == ("one", "b")
        saver.save(str(path), "two", "written to")
        assert path.read_text() == "two"


async def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    app = Alone()
    async with app.run_test():
        with pytest.raises(CommandError, match="cannot write"):
            Saver(app.input, app.status).save(str(tmp_path / "no" / "a.txt"), "x", "written to")
    assert [*tmp_path.iterdir()] == []
