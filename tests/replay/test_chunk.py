"""Spans hold every step once, in order, and the words that their steps wrote."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.trace import Trace
from replay import ReplayConfig, Replayer
from replay.chunk import CHUNKERS, Chunk, Chunker, chunk, thinking_steps
from tests.build import make_trace


def answer(steps: list[str], sentences: list[tuple[int, int]], **over: Any) -> Trace:
    over.setdefault("pos", ("NOUN",) * len(steps))
    ends = np.cumsum([len(step) for step in steps], dtype=np.int32)
    chars = np.stack([ends - [len(step) for step in steps], ends], axis=1).astype(np.int32)
    return make_trace(
        response="".join(steps),
        response_ids=np.zeros(len(steps), np.int32),
        chars=chars.reshape(-1, 2),
        sentences=np.array(sentences, np.int32).reshape(-1, 2),
        **over,
    )


def cut(trace: Trace, chunker: str = "sentence") -> list[tuple[tuple[int, int], str]]:
    return [(c.steps, trace.response[c.start : c.end]) for c in chunk(trace, chunker)]


def test_sentences_of_the_small_answer() -> None:
    assert cut(make_trace()) == [
        ((0, 6), "The parcel weighs seven kilos."),
        ((6, 12), "A red circle is shown."),
        ((12, 16), "A tone sounds."),
    ]
    assert cut(make_trace(), "response") == [((0, 16), make_trace().response.strip())]


def test_a_step_belongs_where_its_first_visible_character_lies() -> None:
    trace = answer(["Yes", ".", " No", ".\nSo", "."], [(0, 4), (5, 8), (9, 12)])
    assert cut(trace) == [((0, 2), "Yes."), ((2, 4), "No.\nSo"), ((4, 5), ".")]


def test_blank_steps_stay_with_the_step_before() -> None:
    trace = answer(["\n", "Yes.", "\n\n", "No.", "", ""], [(1, 5), (7, 10)])
    assert cut(trace) == [((0, 3), "Yes."), ((3, 6), "No.")]


def test_what_no_sentence_holds_goes_to_the_one_before() -> None:
    trace = answer(["Oh ", "Yes.", " eh ", "No."], [(3, 7), (11, 14)])
    assert cut(trace) == [((0, 3), "Oh Yes. eh"), ((3, 4), "No.")]


def test_the_release_cuts_at_newlines_and_joins_markers() -> None:
    trace = answer(["1", ".", " Salt", "\n", "2.", " Oil"], [(0, 2), (3, 14)])
    assert cut(trace, "release") == [((0, 4), "1. Salt"), ((4, 6), "2. Oil")]
    assert cut(trace, "sentence") == [((0, 2), "1."), ((2, 6), "Salt\n2. Oil")]


def test_no_steps_no_spans_and_no_sentences_one_span() -> None:
    for chunker in ("sentence", "release", "clause", "window", "response"):
        assert chunk(answer([], []), chunker) == []
        assert chunk(answer(["", ""], []), chunker) == [Chunk((0, 2), 0, 0)]
        assert cut(answer(["Yes"], []), chunker) == [((0, 1), "Yes")]


def tagged(words: str, sentences: list[tuple[int, int]] | None = None) -> Trace:
    """An answer of one step a word/TAG."""
    pairs = [word.rsplit("/", 1) for word in words.split()]
    steps = [" " * (i > 0) + word for i, (word, _) in enumerate(pairs)]
    whole = [(0, len("".join(steps)))]
    return answer(steps, sentences or whole, pos=tuple(tag for _, tag in pairs))


@pytest.mark.parametrize(
    ("words", "clauses"),
    [
        (
            "It/PRON rains/VERB and/CCONJ the/DET sun/NOUN is/AUX out/ADV ./PUNCT",
            ["It rains", "and the sun is out ."],
        ),
        ("Salt/NOUN and/CCONJ oil/NOUN are/AUX cheap/ADJ", ["Salt and oil are cheap"]),
        ("He/PRON eats/VERB bread/NOUN or/CCONJ rice/NOUN", ["He eats bread or rice"]),
        (
            "He/PRON eats/VERB rice/NOUN and/CCONJ fish/NOUN but/CCONJ drinks/VERB tea/NOUN",
            ["He eats rice and fish", "but drinks tea"],
        ),
        ("Red/ADJ ;/PUNCT it/PRON rains/VERB", ["Red ;", "it rains"]),
        ("Stop/VERB and/CCONJ or/CCONJ go/VERB", ["Stop", "and or go"]),
        (
            "Run/VERB ;/PUNCT wine/NOUN and/CCONJ bread/NOUN cost/VERB",
            ["Run ;", "wine and bread cost"],
        ),
        ("And/CCONJ it/PRON rains/VERB", ["And it rains"]),
    ],
)
def test_clauses(words: str, clauses: list[str]) -> None:
    assert [text for _, text in cut(tagged(words), "clause")] == clauses


def test_a_clause_ends_with_its_sentence() -> None:
    trace = tagged(
        "It/PRON rains/VERB ./PUNCT Tea/NOUN and/CCONJ bread/NOUN cost/VERB", [(0, 10), (11, 30)]
    )
    assert [text for _, text in cut(trace, "clause")] == ["It rains .", "Tea and bread cost"]


WORDS = {"CCONJ": "and", "VERB": "go", "AUX": "is", "NOUN": "tea", "PUNCT": ";"}


@given(
    st.lists(st.sampled_from(sorted(WORDS)), min_size=1, max_size=14),
    st.sets(st.integers(1, 13), max_size=3),
)
def test_clauses_equal_a_plain_loop(tags: list[str], breaks: set[int]) -> None:
    trace = tagged(" ".join(f"{WORDS[tag]}/{tag}" for tag in tags))
    inner = sorted(step for step in breaks if step < len(tags))
    edges = [0, *(int(trace.chars[step, 0]) + 1 for step in inner), len(trace.response)]
    trace = replace(trace, sentences=np.array(list(pairwise(edges)), np.int32))
    expected = [0]
    for t in range(1, len(tags)):
        stop = t in inner or tags[t - 1] == "PUNCT"
        after = t + 1
        while after < len(tags) and after not in inner and tags[after - 1] != "PUNCT":
            if tags[after] == "CCONJ" and tags[after - 1] != "CCONJ":
                break
            after += 1
        joins = tags[t] == "CCONJ" and tags[t - 1] != "CCONJ"
        sides = (tags[expected[-1] : t], tags[t:after])
        if stop or (joins and all({"VERB", "AUX"} & set(side) for side in sides)):
            expected.append(t)
    assert [span.steps[0] for span in chunk(trace, "clause")] == expected


THOUGHT = ["<think>", "Two", " and", " two", ".", " So", "</think>", "\n\n", "Four", "."]
ALL = ("sentence", "release", "clause", "window", "response")


def thought(start: int = 0, end: int = 30) -> Trace:
    """An answer after its thinking, which share a recorded sentence."""
    trace = answer(THOUGHT, [(0, 19), (20, 37)], meta={"thinking": [start, end]})
    assert trace.response[:30] == "<think>Two and two. So</think>"
    return trace


@pytest.mark.parametrize(
    ("chunker", "spans"),
    [
        ("sentence", [(0, 5), (5, 8), (8, 10)]),
        ("release", [(0, 5), (5, 8), (8, 10)]),
        ("clause", [(0, 5), (5, 8), (8, 10)]),
        ("window", [(0, 3), (3, 6), (6, 8), (8, 10)]),
        ("response", [(0, 8), (8, 10)]),
    ],
)
def test_no_span_holds_thinking_and_answer(chunker: str, spans: list[tuple[int, int]]) -> None:
    found = chunk(thought(), chunker, 3)
    assert [piece.steps for piece in found] == spans
    assert [piece.thinking for piece in found] == [True] * (len(spans) - 1) + [False]
    assert chunk(thought(), chunker, 3, "thinking") == found[:-1]
    assert chunk(thought(), chunker, 3, "answer") == found[-1:]


def test_thinking_is_known_by_first_visible_characters() -> None:
    trace = answer(["\n", "a", "\n", "b c", "", " d"], [(0, 9)])
    for (start, end), inside in {
        (1, 2): [1, 1, 1, 0, 0, 0],
        (0, 4): [1, 1, 1, 1, 1, 0],
        (5, 8): [0, 0, 0, 0, 0, 1],
        (3, 4): [0, 0, 0, 1, 1, 0],
        (4, 5): [0] * 6,
    }.items():
        marked = replace(trace, meta={"thinking": [start, end]})
        assert thinking_steps(marked).tolist() == [bool(step) for step in inside]
    assert not thinking_steps(trace).any()
    blank = answer(["\n", "\n"], [], meta={"thinking": [0, 2]})
    assert thinking_steps(blank).all()


def test_without_thinking_the_answer_is_all_there_is() -> None:
    for chunker in ALL:
        assert chunk(make_trace(), chunker, 5, "answer") == chunk(make_trace(), chunker, 5)
        assert chunk(make_trace(), chunker, 5, "thinking") == []
        assert chunk(answer([], []), chunker, 5, "answer") == []


def test_windows_hold_so_many_steps() -> None:
    spans = chunk(make_trace(), "window", 5)
    assert [span.steps for span in spans] == [(0, 5), (5, 10), (10, 15), (15, 16)]
    assert len(chunk(make_trace(), "window", 16)) == len(chunk(make_trace(), "window", 99)) == 1


@given(
    st.lists(st.text("ab. \n1;", max_size=4), max_size=12),
    st.lists(st.integers(0, 40), max_size=8).map(sorted),
    st.sampled_from(["sentence", "release", "clause", "window", "response"]),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)
def test_spans_partition_the_steps_and_the_words(
    steps: list[str], edges: list[int], chunker: str, window: int, random: Random
) -> None:
    length = sum(map(len, steps))
    pairs = [(a, min(b, length)) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    pos = tuple(random.choice(["NOUN", "VERB", "CCONJ", "PUNCT"]) for _ in steps)
    trace = answer(steps, [(a, b) for a, b in pairs if a < b], pos=pos)
    if border := random.randint(0, length):
        trace = replace(trace, meta={"thinking": [random.randrange(border), border]})
    spans = chunk(trace, chunker, window)
    covered = [step for span in spans for step in range(*span.steps)]
    assert covered == list(range(len(steps)))
    assert all(first < last for first, last in (span.steps for span in spans))
    inside = thinking_steps(trace).tolist()
    for span in spans:
        assert {*inside[slice(*span.steps)]} == {span.thinking}
    parts = {part: chunk(trace, chunker, window, part) for part in ("answer", "thinking")}
    assert sorted(parts["answer"] + parts["thinking"], key=lambda one: one.steps) == spans
    assert not any(span.thinking for span in parts["answer"])
    words = "".join(trace.response[span.start : span.end] for span in spans)
    assert "".join(words.split()) == "".join(trace.response.split())


def test_a_chunker_is_a_line_in_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    def halves(trace: Trace, borders: Any, window: int) -> Any:
        return np.array([trace.T // 2])

    monkeypatch.setitem(CHUNKERS, "halves", Chunker("both halves", halves))
    trace = make_trace()
    spans = Replayer(trace).spans(ReplayConfig(chunker="halves"))
    assert [span.steps for span in spans] == [(0, trace.T // 2), (trace.T // 2, trace.T)]


def test_the_choices_and_the_help_are_those_of_the_registry() -> None:
    field = next(f for f in fields(ReplayConfig) if f.name == "chunker")
    assert field.metadata["choices"] == tuple(CHUNKERS)
    assert all(chunker.help in field.metadata["help"] for chunker in CHUNKERS.values())
