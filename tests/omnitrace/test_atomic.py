"""A file is written completely or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnitrace.atomic import atomic_write
from omnitrace.errors import CommandError, OmniTraceError


def interrupted(path: Path) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_what_was_there_stays_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "none" / "file"
    with pytest.raises(CommandError, match=f"cannot write {path}"), atomic_write(path) as temporary:
        temporary.write_text("new")


def test_the_caller_says_what_is_written_and_which_error_it_is(tmp_path: Path) -> None:
    path = tmp_path / "none" / "file"
    with (
        pytest.raises(OmniTraceError, match=f"cannot write the table {path}: No such") as caught,
        atomic_write(path, OmniTraceError, "the table ") as temporary,
    ):
        temporary.write_text("new")
    assert type(caught.value) is OmniTraceError
