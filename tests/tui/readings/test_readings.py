"""The same answer by source, and side by side with what others say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnitrace import OmniTraceError, Run
from replay import PRESETS, attribute
from replay.config import ReliabilityConfig, TokenConfig
from tests.tui.drive import LARGE, browsing, lit, on_screen, press, text, title, tokens
from tests.tui.samples import PLAIN, planted_trace
from tui.labels import Labels
from tui.readings.by_source import uses_of
from tui.readings.columns import DIFFERS, Compared, side_table
from tui.trace.screen import TraceScreen

TRUTH = {
    "id": "kitchen-0",
    "answer": "…",
    "sentences": [
        {"text": "The parcel weighs seven kilos.", "evidence": [{"part": 0}]},
        {"text": " A red circle is shown.", "evidence": [{"part": 1}]},
        {
            "text": " A low tone sounds at second two.",
            "evidence": [{"part": 2, "start_s": 0.0, "end_s": 1.0}],
        },
        {"text": " Then a square moves right.", "evidence": [{"part": 3}]},
    ],
}


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    path = tmp_path / "truth.jsonl"
    path.write_text(json.dumps(TRUTH) + "\n", "utf-8")
    return Labels.read(path)


def test_uses_add_up() -> None:
    attribution = attribute(planted_trace(), PLAIN)
    uses = uses_of(attribution)
    assert uses.share.sum() == pytest.approx(1)
    assert uses.steps.sum() == len(attribution.unit)
    assert (np.diff(uses.share[uses.order]) <= 0).all()
    assert uses.course.max() == 1
    kept = {s.unit for span in attribution.spans for s in span.sources}
    assert {unit for unit, spans in enumerate(uses.spans) if spans} == kept


async def test_the_answer_is_read_by_source(run: Run) -> None:
    async with browsing(run, "kitchen-0", size=LARGE) as pilot:
        await press(pilot, "2")
        rows = text(pilot, "#by-source").splitlines()
        shares = [int(row[4:].split("%")[0]) for row in rows]
        assert shares == sorted(shares, reverse=True)
        assert rows[0].startswith("✓ ")
        await press(pilot, "down")
        attribution = on_screen(pilot, TraceScreen).attribution
        assert attribution is not None
        unit = int(uses_of(attribution).order[1])
        assert lit(pilot) == np.flatnonzero(attribution.unit == unit).tolist()
        await press(pilot, "1")
        assert tokens(pilot).has_focus
        assert tokens(pilot).display


def test_two_configurations_agree_with_themselves() -> None:
    trace = planted_trace()
    attribution = attribute(trace, PLAIN)
    same = side_table(Compared(trace, attribution, ("B", attribution)))
    assert same.titles == ("because of", "because of, by B")
    assert all(span.differing == 0 for span in same.spans)
    other = attribute(trace, PRESETS["release"])
    apart = side_table(Compared(trace, attribution, ("B", other)))
    assert any(entry.sign == DIFFERS for s in apart.spans for voice in s.columns for entry in voice)


def test_labels_say_what_is_found_and_what_is_missed(labels: Labels) -> None:
    trace = planted_trace("kitchen-0")
    attribution = attribute(trace, PLAIN)
    sides = side_table(Compared(trace, attribution, gold=labels.gold(trace)))
    assert sides.titles == ("because of", "truly because of")
    entries = [
        {(e.sign, e.text.split(" “")[0]) for voice in span.columns for e in voice}
        for span in sides.spans
    ]
    assert ("✓", "image 1") in entries[1]
    assert ("✗", "audio 1 0–1 s") in entries[2]
    assert {sign for sign, _ in entries[3]} == {"·"}  # it says what is not true: not judged
    assert sides.spans[3].columns[1] == ()


async def test_disagreements_come_first_when_asked(run: Run, labels: Labels) -> None:
    async with browsing(run, "kitchen-0", size=LARGE, labels=labels) as pilot:
        await press(pilot, "3")
        assert "truly because of" in text(pilot, "#side-by-side").splitlines()[0]
        assert "in order" in title(pilot, "#side-by-side")
        await press(pilot, "o")
        assert text(pilot, "#side-by-side").splitlines()[1].startswith("≠")
        await press(pilot, "end")
        assert tokens(pilot).cursor > 0


async def test_alone_the_reading_says_who_else_could_speak(run: Run) -> None:
    async with browsing(run, "kitchen-0", size=LARGE) as pilot:
        await press(pilot, "3")
        assert "--labels" in text(pilot, "#status")


async def test_samples_with_labels_have_an_f1(run: Run, labels: Labels) -> None:
    async with browsing(run, size=LARGE, labels=labels) as pilot:
        await press(pilot, "slash", *"f1<1", "enter")
        assert "1 of 30 samples" in text(pilot, "#columns")
        assert "F1" in text(pilot, "#columns")


def test_a_part_that_is_not_there_has_no_f1(labels: Labels) -> None:
    trace = planted_trace("kitchen-0")
    assert labels.f1(trace, attribute(trace, PLAIN)) is not None
    assert labels.f1(trace, attribute(trace, replace(PLAIN, response="thinking"))) is None


def test_labels_that_do_not_fit_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    wrong = TRUTH | {"sentences": [{"text": "A red circle is shown.", "evidence": [{"part": 9}]}]}
    path.write_text(json.dumps(wrong) + "\n", "utf-8")
    with pytest.raises(OmniTraceError, match="line 1"):
        Labels.read(path).gold(planted_trace("kitchen-0"))


async def test_labels_that_do_not_fit_leave_the_rest_usable(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    wrong = TRUTH | {"sentences": [{"text": "A red circle is shown.", "evidence": [{"part": 9}]}]}
    path.write_text(json.dumps(wrong) + "\n", "utf-8")
    async with browsing(run, "kitchen-0", labels=Labels.read(path)) as pilot:
        assert "line 1" in text(pilot, "#status").replace("\n ", " ")
        assert "The parcel weighs" in text(pilot, "#tokens")


async def test_by_source_says_where_the_scores_lie_and_what_was_filtered(run: Run) -> None:
    trust = ReliabilityConfig(nameable=0.99)
    config = replace(PLAIN, tokens=TokenConfig(heaviest=2), reliability=trust)
    async with browsing(run, "kitchen-0", size=LARGE, config=config) as pilot:
        assert "not attributable: too little of its scores" in title(pilot, "#span-sources")
        assert "nameable" in text(pilot, "#span-sources")
        await press(pilot, "2")
        shown = title(pilot, "#by-source")
        assert "· units " in shown
        assert ", filtered " in shown
        assert "2 tokens filtered" in shown
