"""Mapping: the heaviest unit of each step, the lowest of equals, in either layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import stack
from benchmarks.stack import best_of_columns
from replay.mapping import best_unit


@given(st.integers(1, 200), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_columns_are_mapped_as_rows_are(units: int, steps: int, seed: int) -> None:
    # Few distinct values, so that many units tie.
    mass = (np.random.default_rng(seed).integers(0, 4, (steps, units)) / 4).astype(np.float32)
    wanted = [max(range(units), key=lambda j: (row[j], -j)) for row in mass.tolist()]
    for unit, confidence in (
        best_unit(mass, np.arange(units, dtype=np.int32)),
        best_of_columns(np.ascontiguousarray(mass.T)),
    ):
        assert unit.tolist() == wanted
        assert confidence.tolist() == [row[j] for row, j in zip(mass.tolist(), wanted, strict=True)]


def test_columns_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    mass = np.random.default_rng(0).random((7, 20), np.float32)
    whole = best_of_columns(mass)
    monkeypatch.setattr(stack, "BLOCK_COLUMNS", 3)
    assert [found.tolist() for found in best_of_columns(mass)] == [w.tolist() for w in whole]
