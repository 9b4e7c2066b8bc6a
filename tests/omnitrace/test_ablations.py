"""Ablations as data: bit for bit through JSON and the store, refused when anything is off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace import CommandError, OmniTraceError, open_run
from omnitrace.ablations import Ablations, AblationsData, Row, from_data, log_sigmoid, to_data
from omnitrace.errors import SampleError
from omnitrace.store.adder import Adder
from omnitrace.store.kinds import ABLATIONS
from omnitrace.store.writer import RunWriter
from omnitrace.trace import Trace
from tests.build import make_trace


def make_ablations(trace: Trace, seed: int = 0, rows: int = 9, units: int = 5) -> Ablations:
    """Legal ablations of a trace: random numbers, every unit somewhere."""
    rng = np.random.default_rng(seed)
    return Ablations(
        name="mask",
        mode="mask",
        unit_of=np.sort(rng.integers(-1, units, trace.n)).astype(np.int32),
        request=rng.random(units) < 0.2,
        kept=rng.random((rows, units)) < 0.5,
        why=rng.integers(0, len(Row), rows).astype(np.uint8),
        held_out=rng.random(rows) < 0.3,
        log_odds=(10 * rng.standard_normal((rows, trace.T))).astype(np.float32),
    )


def same(one: Ablations, other: Ablations) -> bool:
    pairs = ((getattr(one, f.name), getattr(other, f.name)) for f in fields(Ablations))
    return all(
        np.array_equal(a, b) and np.asarray(a).dtype == np.asarray(b).dtype for a, b in pairs
    )


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 20), units=st.integers(1, 19))
def test_json_gives_back_every_bit(seed: int, rows: int, units: int) -> None:
    trace = make_trace()
    made = make_ablations(trace, seed, rows, units)
    made.log_odds[0, :3] = (np.inf, -np.inf, -0.0)
    text = msgspec.json.encode(to_data(made))
    assert same(
        made, from_data("mask", msgspec.json.decode(text, type=AblationsData), trace.n, trace.T)
    )


def test_log_odds_are_exact_where_probabilities_are_not() -> None:
    odds = np.array([-800.0, 0.0, 30.0])
    np.testing.assert_allclose(log_sigmoid(odds), [-800, -np.log(2), -9.357622968840175e-14])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with RunWriter.open(tmp_path / "run", {"model": "m"}) as writer:
        writer.add(make_trace("a"), "1")
        writer.add(make_trace("b"), "2")
    with Adder.open(tmp_path / "run", ABLATIONS, "mask", {"masks": 9}) as adder:
        adder.add(adder.run["a"], make_ablations(make_trace("a")))
    return tmp_path / "run"


def test_what_is_added_comes_back(store: Path) -> None:
    run = open_run(store)
    assert run.damage == []
    assert same(run["a"].ablation("mask"), make_ablations(make_trace("a")))
    assert dict(run["b"].ablations) == {}
    with pytest.raises(SampleError, match=r"no ablations 'mask'.*ablate-inputs"):
        run["b"].ablation("mask")
    with pytest.raises(CommandError, match="made otherwise"):
        Adder.open(store, ABLATIONS, "mask", {"masks": 10})


DAMAGE: dict[str, Callable[[AblationsData], dict[str, Any]]] = {
    "not base64": lambda d: {"log_odds": "*" * len(d.log_odds)},
    "short": lambda d: {"log_odds": d.log_odds[:-4]},
    "padded": lambda d: {"why": "AAAA" + d.why[4:-4] + "AA=="},
    "another prompt": lambda d: {"unit_of": [*d.unit_of, (1, 0)]},
    "unit beyond": lambda d: {"unit_of": [(sum(n for n, _ in d.unit_of), d.units)]},
    "more rows": lambda d: {"rows": d.rows + 1},
    "more units": lambda d: {"units": d.units + 40},
    "too large": lambda d: {"rows": 1 << 16, "units": 1 << 16},
    "unknown sort": lambda d: {"why": "////" + d.why[4:]},
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_not_legal_is_refused(what: str) -> None:
    trace = make_trace()
    data = to_data(make_ablations(trace))
    wrong = msgspec.structs.replace(data, **DAMAGE[what](data))
    with pytest.raises((ValueError, msgspec.ValidationError)):
        from_data("mask", wrong, trace.n, trace.T)


def test_numbers_that_are_none_are_not_stored(store: Path) -> None:
    made = make_ablations(make_trace("b"))
    made.log_odds[0, 0] = np.nan
    with (
        Adder.open(store, ABLATIONS, "mask", {"masks": 9}) as adder,
        pytest.raises(OmniTraceError, match="cannot be stored"),
    ):
        adder.add(adder.run["b"], made)
    with (
        Adder.open(store, ABLATIONS, "mask", {"masks": 9}) as adder,
        pytest.raises(OmniTraceError, match="cannot be stored"),
    ):
        adder.add(adder.run["b"], replace(made, log_odds=made.log_odds[:, 1:]))
