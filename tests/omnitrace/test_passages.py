"""Passages: which lines go on in the next one, and what is whole."""

from __future__ import annotations

import textwrap

import pytest

from omnitrace.passages import joined_lines, passages

PROSE = (
    "The river rises in the hills north of the town and runs past the old mill, where it once "
    "turned three wheels. In dry summers it shrinks to a brook that children can jump over, and "
    "in spring it floods the meadows. Nobody has ever built a bridge across it, since a ford lies "
    "only a mile away from the church."
)


def cut(text: str) -> list[str]:
    return [text[p.start : p.end] for p in passages(text)]


@pytest.mark.parametrize("width", [48, 60, 72, 80, 100])
@pytest.mark.parametrize("prefix", ["", "> ", "   "])
def test_lines_that_were_full_go_on(width: int, prefix: str) -> None:
    text = textwrap.fill(PROSE, width, initial_indent=prefix, subsequent_indent=prefix)
    assert cut(text) == [text.strip()]
    assert joined_lines(text, passages(text)) == text.replace("\n", " ")


def test_two_lines_go_on_if_the_first_is_as_long_as_other_lines() -> None:
    text = textwrap.fill(PROSE, 60)
    full = "Some of the fish in it are so large that the fishermen of\nOsterville tell stories."
    short = "Fish of the river\nTrout and salmon"
    assert cut(f"{text}\n\n{full}") == [text, full]
    assert cut(f"{text}\n\n{short}") == [text, *short.split("\n")]


@pytest.mark.parametrize(
    "text",
    [
        "Dear Anna,\nThank you for the letter.\nYours,\nBen",
        "Roses are red,\nViolets are blue,\nSugar is sweet,\nAnd so are you.",
        "Name: Ann Lee\nAge: 31\nCity: Oslo",
        "flour\nsugar\nbutter",
        "• one\n• two\n• three",
        "**Summary**\nAll is well.",
        "A line that Markdown breaks on purpose at just this place,  \nand it goes on here.",
        "The formula that follows gives the energy of a body at rest:\n$$E = mc^2$$\nIt is famous.",
    ],
)
def test_lines_that_end_on_purpose_end_a_passage(text: str) -> None:
    assert cut(text) == [line.strip() for line in text.split("\n")]


@pytest.mark.parametrize(
    "whole",
    [
        "# What is it? A guide",
        "```\na. B.\n\nc? D\n```",
        "[1] Lee, A. (2020). A title. A journal, 3.",
        "[^1]: A note. It has two sentences.",
    ],
)
def test_headings_code_and_references_are_whole(whole: str) -> None:
    found = passages(f"Text.\n\n{whole}\n\nText.")
    assert [passage.whole for passage in found] == [False, True, False]


def test_options_are_whole_where_they_follow_each_other() -> None:
    options = passages("(A) It rains. It pours.\n(B) It snows. It blows.\n\nA. It rains. It pours.")
    assert [passage.whole for passage in options] == [True, True, False]


def test_code_keeps_its_lines() -> None:
    text = "```\na\nb\n```"
    assert joined_lines(text, passages(text)) == text
