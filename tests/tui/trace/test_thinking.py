"""Thinking in the browser: its spans say so, and what is not attributed is dim and without span."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitrace import Run
from replay import attribute
from tests.tui.drive import browsing, press, shown, text, title, tokens
from tests.tui.samples import PLAIN, planted_trace, write_run
from tui.compare import disputed, span_at, spans_of_steps
from tui.trace.prompt import PromptView
from tui.trace.response import ResponseLayout, StyleOptions, runs, style_response

END = len("The parcel weighs seven kilos. A red circle is shown.")
TRACE = replace(planted_trace(), meta={"thinking": [0, END]})
ANSWER, THINKING = (replace(PLAIN, response=part) for part in ("answer", "thinking"))


@pytest.fixture
def thoughtful(tmp_path: Path) -> Run:
    return write_run(tmp_path / "run", TRACE)


def heads(pilot: Any) -> list[list[str]]:
    """The first two words of each row of the response that is no caption."""
    rows = text(pilot, "#tokens").splitlines()
    return [row.split()[:2] for row in rows if "↳" not in row]


async def test_spans_of_thinking_say_so(thoughtful: Run) -> None:
    async with browsing(thoughtful) as pilot:
        captions = [row.split()[1:3] for row in text(pilot, "#tokens").splitlines() if "↳" in row]
        assert captions == [["thinking", "T"], ["thinking", "I"], ["A", "audio"], ["V", "video"]]
        assert title(pilot, "#span-sources").startswith("span 1 · thinking · 1 kept")
        await press(pilot, "s", "s")
        assert title(pilot, "#span-sources").startswith("span 3 · 1 kept")


async def test_of_an_answer_alone_the_thinking_is_dim_and_in_no_span(thoughtful: Run) -> None:
    async with browsing(thoughtful, config=ANSWER) as pilot:
        assert [*map(len, heads(pilot))] == [2, 2, 2]
        assert heads(pilot)[1:] == [["1", "A"], ["2", "V"]]
        assert text(pilot, "#tokens").count("↳") == 2
        assert "Not attributed: response = answer." in text(pilot, "#span-sources")
        assert "span" not in text(pilot, "#inspector").splitlines()[0]
        view = tokens(pilot)
        assert view.style_of(5) == view.palette.dim
        assert view.style_of(20) != view.palette.dim
        await press(pilot, "s")
        assert view.cursor == 13
        assert title(pilot, "#span-sources").startswith("span 1 · 1 kept")
        assert "span 1" in text(pilot, "#inspector").splitlines()[0]
        await press(pilot, "S")
        assert view.cursor == 13


async def test_of_thinking_alone_the_keys_find_the_span_before(thoughtful: Run) -> None:
    async with browsing(thoughtful, config=THINKING) as pilot:
        assert heads(pilot)[:2] == [["▸1", "T"], ["2", "I"]]
        assert text(pilot, "#tokens").count("↳ thinking") == 2
        await press(pilot, "G", "s")
        assert tokens(pilot).cursor == 26
        await press(pilot, "S")
        assert tokens(pilot).cursor == 7


async def test_every_reading_takes_a_step_without_span(thoughtful: Run) -> None:
    async with browsing(thoughtful, config=ANSWER) as pilot:
        await press(pilot, "2")
        assert "✓ A" in text(pilot, "#by-source")
        await press(pilot, "3")
        assert "of 2 spans" in title(pilot, "#side-by-side")
        await press(pilot, "v")
        assert "✓" not in shown(pilot.app.screen.query_one(PromptView))
        await press(pilot, "escape", "i", "b", "z", "z")
        assert "steps 1–13 of 27" in text(pilot, "#inspector")


async def test_nothing_is_attributed_where_there_is_no_thinking(run: Run) -> None:
    async with browsing(run, "kitchen-0", config=THINKING) as pilot:
        assert text(pilot, "#tokens").startswith(" " * 8 + "The parcel")
        assert "↳" not in text(pilot, "#tokens")
        await press(pilot, "s", "S", "z", "z", "3")
        assert "of 0 spans" in title(pilot, "#side-by-side")
        assert "steps 1–27 of 27" in text(pilot, "#inspector")


def test_groups_are_runs_and_steps_without_span_are_not_disputed() -> None:
    whole, thinking, answer = (attribute(TRACE, one) for one in (PLAIN, THINKING, ANSWER))
    assert spans_of_steps(answer).tolist() == [-1] * 13 + [0] * 8 + [1] * 6
    assert spans_of_steps(thinking).tolist() == [0] * 7 + [1] * 6 + [-1] * 14
    assert runs(spans_of_steps(thinking)).tolist() == [0] * 7 + [1] * 6 + [2] * 14
    assert runs(np.zeros(0, np.int32)).tolist() == []
    assert span_at(answer, 3) is None
    response = style_response(ResponseLayout.of(TRACE), thinking, StyleOptions(grain="span"))
    assert response.group_of(20) == (13, 27)
    assert response.outside.tolist() == [False] * 13 + [True] * 14
    other = replace(answer, spans=tuple(replace(span, sources=()) for span in answer.spans))
    assert not disputed(whole, answer).any()
    assert disputed(whole, other).tolist() == [False] * 13 + [True] * 14
    assert disputed(other, whole).tolist() == disputed(whole, other).tolist()
