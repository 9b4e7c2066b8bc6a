"""A file is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnitrace.errors import CommandError
from omnitrace.whole import written_whole


def interrupted(path: Path) -> None:
    with written_whole(path) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt


def test_what_was_there_stays_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with written_whole(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "none" / "file"
    with pytest.raises(CommandError, match=f"cannot write {path}"), written_whole(path) as beside:
        beside.write_text("new")
