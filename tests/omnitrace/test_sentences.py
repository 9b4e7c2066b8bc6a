"""Which token lies in which sentence, and the release's way of cutting them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.sentences import containing, first_visible, release_sentences

texts = st.text(st.sampled_from("ab \n\t\u3000é🙂"), max_size=20)


@given(texts, st.data())
def test_first_visible_equals_a_plain_loop(text: str, data: st.DataObject) -> None:
    edge = st.integers(0, len(text))
    pairs = data.draw(st.lists(st.tuples(edge, edge).map(sorted), max_size=5))
    chars = np.array(pairs, np.int32).reshape(-1, 2)
    expected = [
        next((i for i in range(start, end) if not text[i].isspace()), -1) for start, end in pairs
    ]
    assert first_visible(text, chars).tolist() == expected


def test_containing_is_half_open() -> None:
    ranges = np.array([[2, 4], [4, 5], [8, 9]], np.int32)
    positions = np.arange(-1, 11, dtype=np.int32)
    assert containing(positions, ranges).tolist() == [-1, -1, -1, 0, 0, 1, -1, -1, -1, 2, -1, -1]
    assert containing(positions, ranges[:0]).tolist() == [-1] * 12


def cut(text: str, *sentences: tuple[int, int]) -> list[str]:
    ranges = np.array(sentences or [(0, len(text))], np.int32)
    return [text[start:end] for start, end in release_sentences(text, ranges)]


def test_release_cuts_at_newlines_and_trims() -> None:
    assert cut("One. \n\n Two\nthree ") == ["One.", "Two", "three"]
    assert cut(" \n ") == []
    assert cut("") == []


def test_release_joins_a_bare_marker_to_what_follows_once() -> None:
    assert cut("1. Salt\n2.\nPepper\na.\nb.\nOil\n3.") == [
        "1. Salt",
        "2.\nPepper",
        "a.\nb.",
        "Oil",
        "3.",
    ]
    assert cut("1. Go.", (0, 2), (3, 6)) == ["1. Go."]
    assert cut("12 Go", (0, 2), (3, 5)) == ["12", "Go"]
