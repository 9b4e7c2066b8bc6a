from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.tui.samples import HOSTILE
from tui.draw.layout import EMPTY, Shown, clip, nearest_step, show_steps, visible, wrap

TEXTS = st.text(
    st.sampled_from(
        [*"ab c.-\n\t", "é", "漢", "🙂", "\u0301", "\u200b", "\u200d", "\ufe0f", "\x1b"]
    )
    | st.characters(),
    max_size=60,
)
PIECES = st.lists(TEXTS, max_size=12)
WIDTHS = st.integers(2, 30)


def shown_of(pieces: list[str]) -> Shown:
    ends = np.cumsum([len(piece) for piece in pieces])
    chars = np.stack([ends - [len(piece) for piece in pieces], ends], axis=1)
    return show_steps("".join(pieces), chars.astype(np.int32).reshape(-1, 2))


def rows_of(text: str, width: int, starts: tuple[int, ...] = ()) -> list[str]:
    return [text[a:b] for a, b in wrap(text, width, starts).ranges]


@settings(deadline=None)
@given(TEXTS)
def test_visible_text_holds_no_control_and_measures_as_its_characters(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(shown) & set("\u200b\u200d\u202e\u2066\ufeff\ufe0f\U000e0041")
    assert cell_len(shown) == sum(cell_len(c) for c in shown)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 40))
def test_clipped_text_fits(text: str, cells: int) -> None:
    assert cell_len(clip(text, cells)) <= cells


def test_clip_says_that_something_is_missing() -> None:
    assert clip("a  b\nc", 5) == "a b c"
    assert clip("abcdef", 5) == "abcd…"
    assert clip("x" * 10**6, 5) == "xxxx…"
    assert clip("漢字漢字", 4) == "漢…"


def test_few_combining_marks_are_kept() -> None:
    assert visible("e" + "\u0301" * 100) == "e" + "\u0301" * 4


@settings(deadline=None)
@given(PIECES)
@example(["\U0001cf000"])
def test_every_step_owns_something_to_see(pieces: list[str]) -> None:
    shown = shown_of(pieces)
    first = shown.first(len(pieces))
    assert [int(shown.step[i]) for i in first] == list(range(len(pieces)))
    assert all(shown.text[i] != " " and cell_len(shown.text[i]) > 0 for i in first)


def test_what_a_step_shows() -> None:
    pieces = ["a", "", " ", " b", " \u0301x", "\n\n", "\u200b", "\x1b[2J"]
    assert shown_of(pieces).text == f"a{EMPTY}␣ b ◌\u0301x↵↵{EMPTY}\ufffd[2J"


def test_text_between_steps_belongs_to_none() -> None:
    shown = show_steps("a b!", np.array([[0, 1], [2, 3]], np.int32))
    assert shown.text == "a b!"
    assert shown.step.tolist() == [0, -1, 1, -1]


def test_steps_that_share_a_character_show_it_once() -> None:
    shown = show_steps("🙂", np.array([[0, 1], [0, 1], [1, 1]], np.int32))
    assert shown.text == f"🙂{EMPTY}{EMPTY}"


@settings(deadline=None)
@given(PIECES, WIDTHS)
def test_rows_fit_and_lose_nothing_but_spaces(pieces: list[str], width: int) -> None:
    shown = shown_of(pieces)
    rows = rows_of(shown.text, width, shown.starts)
    assert all(0 < cell_len(row) <= width for row in rows)
    assert "".join(rows).replace(" ", "") == shown.text.replace(" ", "")
    assert all(row == row.strip(" ") for row in rows)


@settings(deadline=None)
@given(PIECES, WIDTHS)
def test_no_mark_leaves_its_base(pieces: list[str], width: int) -> None:
    shown = shown_of(pieces)
    assert all(cell_len(row[0]) > 0 for row in rows_of(shown.text, width, shown.starts))


@pytest.mark.parametrize(
    ("text", "width", "rows"),
    [
        pytest.param("one two three", 8, ["one two", "three"], id="at spaces"),
        pytest.param("one two", 3, ["one", "two"], id="a space may hang over"),
        pytest.param("abcdefgh", 3, ["abc", "def", "gh"], id="hard"),
        pytest.param("ab漢字漢", 5, ["ab漢", "字漢"], id="beside wide characters"),
        pytest.param("e\u0301e\u0301e\u0301", 2, ["e\u0301e\u0301", "e\u0301"], id="marks"),
        pytest.param("   ", 4, [], id="nothing to see"),
    ],
)
def test_wrap(text: str, width: int, rows: list[str]) -> None:
    assert rows_of(text, width) == rows


def test_rows_begin_where_they_must() -> None:
    assert rows_of("a. b. c.", 80, (2, 5)) == ["a.", "b.", "c."]


def test_a_line_of_a_million_characters_wraps() -> None:
    rows = wrap("x" * 10**6, 50)
    assert len(rows) == 20_000


@settings(deadline=None)
@given(PIECES, WIDTHS)
def test_the_place_of_a_step_leads_back_to_it(pieces: list[str], width: int) -> None:
    shown = shown_of(pieces)
    rows = wrap(shown.text, width, shown.starts)
    for step, character in enumerate(shown.first(len(pieces))):
        row = rows.row_of(int(character))
        assert nearest_step(shown, rows, row, rows.column(row, int(character))) == step


def test_the_nearest_step_of_a_row_without_steps_is_none() -> None:
    shown = show_steps("a\nb", np.array([[0, 1]], np.int32))
    rows = wrap(shown.text, 10, shown.starts)
    assert [nearest_step(shown, rows, row, 5) for row in range(2)] == [0, None]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_harmless(text: str) -> None:
    assert "\x1b" not in visible(text)
    assert "\u202e" not in visible(text)
