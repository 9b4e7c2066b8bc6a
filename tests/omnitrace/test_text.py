"""Text from strangers cannot drive a terminal, and keeps its offsets."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from omnitrace.text import one_line, safe_text

any_text = st.text(st.characters(exclude_categories=[]))


@given(any_text)
def test_safe_text_keeps_length_and_is_idempotent(text: str) -> None:
    safe = safe_text(text)
    assert len(safe) == len(text)
    assert safe_text(safe) == safe
    safe.encode("utf-8")


@given(any_text)
def test_safe_text_has_no_controls_but_newline_and_tab(text: str) -> None:
    controls = {c for c in safe_text(text) if unicodedata.category(c) in ("Cc", "Cs")}
    assert controls <= {"\n", "\t"}


def test_safe_text_leaves_people_alone() -> None:
    text = "Zoë said: 你好, 🙂\n\tفارسی"
    assert safe_text(text) == text


def test_safe_text_stops_escapes_and_reordering() -> None:
    assert safe_text("a\x1b]52;c;x\x07\x9b2J\u202eb\r") == "a�]52;c;x��2J�b�"


@given(any_text, st.integers(1, 80))
def test_one_line_is_one_line_of_at_most_width(text: str, width: int) -> None:
    line = one_line(text, width)
    assert len(line) <= width
    assert "\n" not in line
    assert "\t" not in line


def test_one_line_folds_and_cuts() -> None:
    assert one_line(" a \n\n b\tc ") == "a b c"
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abcd", 4) == "abcd"
