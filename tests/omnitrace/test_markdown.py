"""Markdown blocks: their kinds and ranges."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from omnitrace.markdown import blocks

TEXTS = st.lists(
    st.sampled_from(["- ", "1. ", "# ", "> ", "```", "    ", "|a|b|", "|-|-|", "---", "\n", "\r\n"])
    | st.sampled_from(list("ab \n\r\t\x00\u2028\u3000é😀")),
    max_size=40,
).map("".join)


def found(text: str) -> list[tuple[str, str]]:
    return [(block.kind, text[block.start : block.end]) for block in blocks(text)]


def test_every_kind_of_block() -> None:
    text = (
        "# Title\nText\ngoes on.\n\n- one\n  - two\n\n    more\n"
        "2. ```py\n   x = 1\n\n   y\n   ```\n"
        "> quoted\n> words\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n\n    x = [1];\n"
    )
    assert found(text) == [
        ("heading", "# Title"),
        ("paragraph", "Text\ngoes on."),
        ("item", "- one"),
        ("item", "- two"),
        ("paragraph", "more"),
        ("code", "2. ```py\n   x = 1\n\n   y\n   ```"),
        ("paragraph", "> quoted\n> words"),
        ("row", "| a | b |"),
        ("paragraph", "|---|---|"),
        ("row", "| 1 | 2 |"),
        ("paragraph", "---"),
        ("code", "x = [1];"),
    ]


def test_a_code_block_that_never_ends_goes_to_the_end() -> None:
    assert found("Look:\n```\na. B.\n\nc") == [("paragraph", "Look:"), ("code", "```\na. B.\n\nc")]


def test_windows_line_ends_and_nothing() -> None:
    assert found("# A\r\n\r\nb\r\nc\r- d") == [
        ("heading", "# A"), ("paragraph", "b\r\nc"), ("item", "- d"),
    ]  # fmt: skip
    assert found("") == found(" \n\t\n") == []


def test_an_underlined_paragraph_and_html_are_paragraphs() -> None:
    assert found("One. Two.\n---\nThree") == [
        ("paragraph", "One. Two."), ("paragraph", "---"), ("paragraph", "Three"),
    ]  # fmt: skip
    assert found("<think>\n- a\n</think>") == [
        ("paragraph", "<think>"), ("item", "- a\n</think>"),
    ]  # fmt: skip


@given(TEXTS)
def test_blocks_hold_every_visible_character_once_and_in_order(text: str) -> None:
    last = 0
    for block in blocks(text):
        assert last <= block.start < block.end
        assert not text[last : block.start].strip()
        assert text[block.start : block.end] == text[block.start : block.end].strip()
        last = block.end
    assert not text[last:].strip()
