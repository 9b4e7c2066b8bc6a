"""Queries that select rows, and the errors of those that are not valid."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace import CommandError
from tui.query import Columns, among, holding

TEXTS = ["A red circle", "a Blue square", "red and blue"]
COLUMNS = Columns(
    3,
    {"n": np.array([10, 20, 30]), "f1": np.array([0.5, np.nan, 1.0])},
    {
        "text": holding(TEXTS),
        "has": among({"image": np.array([True, False, True]), "audio": np.array([False] * 3)}),
    },
)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("", [0, 1, 2]),
        ("red", [0, 2]),
        ("RED -circle", [2]),
        ('"red circle"', [0]),
        ('-"red circle"', [1, 2]),
        ("n>10 n<=20", [1]),
        ("-n>10", [0]),
        ("f1<2", [0, 2]),
        ("has:im", [0, 2]),
        ("-has:image blue", [1]),
        ("text:blue", [1, 2]),
        ("N=30", [2]),
        ("-", []),
    ],
)
def test_terms_are_all_true_of_the_rows_found(query: str, rows: list[int]) -> None:
    assert np.flatnonzero(COLUMNS.select(query)).tolist() == rows


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("m>3", "no field 'm'"),
        ("n>many", "needs a number"),
        ("n:3", "ask for n as n<0.5"),
        ("has>3", "ask for has as has:word"),
        ("has:smell", "none of image, audio"),
    ],
)
def test_what_is_no_term_is_said(query: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        COLUMNS.select(query)


@given(st.text(max_size=40))
def test_any_text_is_a_query_or_is_refused_in_a_sentence(query: str) -> None:
    with suppress(CommandError):
        assert COLUMNS.select(query).shape == (3,)
