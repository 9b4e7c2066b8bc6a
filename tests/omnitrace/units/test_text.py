"""Text units finer and coarser than sentences, and the request left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.prompt import Prompt
from omnitrace.timeline import Medium, Modality, Part, Timeline
from omnitrace.trace import Trace
from omnitrace.units import UnitConfig, Units
from omnitrace.units.data import Pieces
from omnitrace.units.text import TEXT_UNITS, TextUnits, clauses
from tests.build import make_trace


def chat(*parts: tuple[str, str | None], sentences: Sequence[str] = ()) -> Trace:
    """A prompt of (role, text) parts, None for an image of one token; a token a word.

    Its sentences are those given, or else whole texts.
    """
    rows: list[tuple[int, int, int, int]] = []
    said, found = "", []
    for index, (_, text) in enumerate(parts):
        if text is None:
            rows.append((Modality.IMAGE, index, len(said), len(said)))
            continue
        for sentence in [s for s in sentences if s in text] or [text]:
            at = len(said) + text.index(sentence)
            found.append((at, at + len(sentence)))
        for word in text.replace(" ", " \0").split("\0"):
            rows.append((Modality.TEXT, index, len(said), len(said) + len(word)))
            said += word
    modality, part, start, end = np.array(rows, np.int32).reshape(-1, 4).T
    media = [index for index, (_, text) in enumerate(parts) if text is None]
    medium = np.array([media.index(p) if p in media else -1 for p in part], np.int32)
    line = replace(
        Timeline.blank(len(rows)),
        modality=modality.astype(np.uint8),
        part=part,
        medium=medium,
        chars=np.stack([start, end], axis=1),
        row=np.where(medium >= 0, 0, -1).astype(np.int32),
        column=np.where(medium >= 0, 0, -1).astype(np.int32),
    )
    kinds = ["image" if text is None else "text" for _, text in parts]
    return make_trace(
        prompt_text=said,
        prompt_ids=np.zeros(len(rows), np.int32),
        prompt_sentences=np.array(found, np.int32).reshape(-1, 2),
        timeline=line,
        parts=tuple(
            Part(role, kind, media.index(i) if i in media else -1)
            for i, ((role, _), kind) in enumerate(zip(parts, kinds, strict=True))
        ),
        media=tuple(Medium("image", "a.png", "0" * 64) for _ in media),
    )


def texts(trace: Trace, text: str, request: str = "keep") -> list[str | None]:
    return list(trace.units(UnitConfig(text=text, request=request)).text)


@pytest.mark.parametrize(
    ("said", "cut"),
    [
        (
            "Salt, oil and bread; then 1,000 more.",
            ["Salt,", "oil", "and bread;", "then 1,000 more."],
        ),
        ("Note: it rains, but the sun shines", ["Note:", "it rains,", "but the sun shines"]),
        ("Or Andorra or", ["Or Andorra or"]),
        ("A , , b", ["A ,", ",", "b"]),
        ("我来，你走。", ["我来，", "你走。"]),
        ("Ten:30 android", ["Ten:30 android"]),
    ],
)
def test_clauses_end_at_marks_and_before_and_or_but(said: str, cut: list[str]) -> None:
    found = clauses(said, np.array([[0, len(said)]], np.int32))
    assert [said[a:b] for a, b in found.tolist()] == cut


@given(st.text("ab,; \nandor", max_size=40), st.lists(st.integers(0, 40), max_size=6).map(sorted))
def test_clauses_hold_the_words_of_their_sentences(said: str, edges: list[int]) -> None:
    pairs = [(a, min(b, len(said))) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    sentences = np.array([p for p in pairs if p[0] < p[1]], np.int32).reshape(-1, 2)
    found = clauses(said, sentences).tolist()
    assert all(a < b for a, b in found)
    assert all(b <= c for (_, b), (c, _) in pairwise(found))
    words = [
        "".join(said[a:b] for a, b in ranges).split() for ranges in (found, sentences.tolist())
    ]
    assert "".join(words[0]) == "".join(words[1])


def test_clauses_of_a_prompt() -> None:
    trace = chat(("user", "Salt, oil"), ("user", "and bread or tea"))
    assert texts(trace, "clause") == ["Salt,", "oil", "and bread", "or tea"]


def test_paragraphs_end_at_blank_lines() -> None:
    trace = chat(("user", "One two\nthree\n \t\n\nfour"), ("user", "five\n\n"), ("user", "\n\nsix"))
    assert texts(trace, "paragraph") == ["One two\nthree", "four", "five", "six"]


def test_a_turn_is_all_text_of_a_message() -> None:
    trace = chat(
        ("system", "Be brief."),
        ("user", "Look:"),
        ("user", None),
        ("user", "What is it?"),
        ("assistant", "A cat."),
        ("user", "Which one?"),
    )
    units = trace.units(UnitConfig(text="turn"))
    assert units.text == ("Be brief.", "Look:What is it?", None, "A cat.", "Which one?")
    assert units.modality.tolist() == [0, 0, 1, 0, 0]
    assert units.id == ("text-0", "text-1", "image-0", "text-2", "text-3")
    assert units.ranges[units.offset[1] : units.offset[2]].tolist() == [[2, 3], [4, 7]]


def test_what_is_left_of_a_coarser_unit_keeps_its_own_words() -> None:
    trace = chat(("user", "It is red. Why?"), sentences=["It is red.", "Why?"])
    assert texts(trace, "part", "leave-out") == ["It is red."]
    trace = chat(("user", "It is red."), ("user", None), ("user", "Why?"))
    assert texts(trace, "turn", "leave-out") == ["It is red.", None]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["system", "user", "assistant"]),
            st.sampled_from([None, "It is red.", "Why?", "Salt, oil or tea"]),
        ),
        max_size=6,
    ),
    st.sampled_from(["sentence", "clause", "paragraph", "part", "turn"]),
)
def test_leaving_the_request_out_only_takes_away(
    parts: list[tuple[str, str | None]], text: str
) -> None:
    trace = chat(*parts)
    kept, less = (trace.units(UnitConfig(text=text, request=r)) for r in ("keep", "leave-out"))
    assert (len(kept) > 0) == (len(less) > 0)
    before, after = (units.owner_of_tokens(trace.n) >= 0 for units in (kept, less))
    assert not (after & ~before).any()
    gone = before & ~after
    assert (trace.timeline.modality[gone] == Modality.TEXT).all()
    assert {trace.parts[part].role for part in trace.timeline.part[gone]} <= {"user"}


def test_an_unnamed_request_is_cut_as_ever_and_marked() -> None:
    trace = chat(("user", "It is red."), ("user", "Why?"))
    kept, marked = (trace.units(UnitConfig(request=r)) for r in ("keep", "unnamed"))
    assert marked.text == kept.text == ("It is red.", "Why?")
    assert kept.unnamed.tolist() == [False, False]
    assert marked.unnamed.tolist() == [False, True]
    turn = trace.units(UnitConfig(text="turn", request="unnamed"))
    assert not turn.unnamed.any()  # a unit that holds more than the request is a source


def owners(units: Units, n: int) -> list[int]:
    return [
        next((j for j in range(len(units)) for a, b in _ranges(units, j) if a <= i < b), -1)
        for i in range(n)
    ]


def _ranges(units: Units, unit: int) -> list[list[int]]:
    found: list[list[int]] = units.ranges[units.offset[unit] : units.offset[unit + 1]].tolist()
    return found


def test_owners_of_tokens() -> None:
    trace = make_trace()
    units = trace.units(UnitConfig(video="apart"))
    assert units.owner_of_tokens(trace.n).tolist() == owners(units, trace.n)


def test_text_units_are_a_line_in_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    def words(prompt: Prompt) -> Pieces:
        spans = [match.span() for match in re.finditer(r"\S+", prompt.prompt_text)]
        return Pieces(np.array(spans, np.int32), np.arange(len(prompt.parts), dtype=np.int32))

    monkeypatch.setitem(TEXT_UNITS, "word", TextUnits("words", words))
    units = make_trace().units(UnitConfig(text="word"))
    assert units.text[:3] == ("The", "parcel", "weighs")


def test_the_choices_and_the_help_are_those_of_the_registry() -> None:
    field = next(f for f in fields(UnitConfig) if f.name == "text")
    assert field.metadata["choices"] == tuple(TEXT_UNITS)
    assert all(units.help in field.metadata["help"] for units in TEXT_UNITS.values())
