"""Files that configurations name are parsed once while they do not change."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnitrace.errors import CommandError
from omnitrace.kept import parsed_file

calls: list[str] = []


def parse(path: str, content: bytes) -> str:
    calls.append(path)
    return content.decode()


def test_a_file_is_parsed_again_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a")
    assert [parsed_file(str(path), "file", parse) for _ in range(2)] == ["a", "a"]
    assert calls.count(str(path)) == 1
    path.write_text("other")
    assert parsed_file(str(path), "file", parse) == "other"


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"cannot read the prior .*none: No such file"):
        parsed_file(str(tmp_path / "none"), "prior", parse)
