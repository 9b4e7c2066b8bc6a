"""The table of families: written, read and shown alike, and true of the toys that are tested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recorder.models.families import MEDIA, Family, read_families
from tests.models_table import PAGES, render_table, with_table, write_families
from tests.recorder.families.models import FAMILIES

ROWS = [
    Family("b", "b_type", ("text", "image"), True, False, "of note"),
    Family("a", "a_type", ("text",), False, True),
]


def test_what_is_written_is_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "families.json"
    write_families(ROWS, path)
    assert list(read_families(path)) == ROWS[::-1]


def test_the_table_marks_what_holds() -> None:
    lines = render_table(ROWS).splitlines()
    assert lines[2] == "| b | `b_type` | ✓ | ✓ |  |  | ✓ |  | of note |"
    assert lines[3] == "| a | `a_type` | ✓ |  |  |  |  | ✓ |  |"


def test_only_what_stands_between_the_marks_changes() -> None:
    page = "head\n<!-- models:begin -->\nold\n<!-- models:end -->\ntail\n"
    shown = with_table(page, "new")
    assert shown == page.replace("old", "new")
    assert with_table(shown, "new") == shown
    with pytest.raises(ValueError, match="models:begin"):
        with_table("head\n", "new")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_the_table(page: Path) -> None:
    text = page.read_text("utf-8")
    assert with_table(text, render_table()) == text, "run python -m tests.models_table"


def test_the_table_says_what_the_tests_of_every_family_assert() -> None:
    rows = {row.family: row for row in read_families()}
    assert set(rows) == set(FAMILIES)
    for name, row in rows.items():
        takes = tuple(kind for kind in MEDIA if kind in FAMILIES[name].takes)
        assert row == replace(row, takes=takes, capture=True, gradients=True)
