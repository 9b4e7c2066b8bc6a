"""Ablations: how likely a recorded response remains when parts of its prompt are removed.

Pure data over numpy arrays, and its form in JSON (`additions/`, kind `ablations`). Knows neither
how rows are recorded (recorder/ablation) nor what is measured with them (replay/faithfulness).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from omnitrace.arrays import Array, Bool, Float32, Float64, Int32, UInt8

MOST_ROWS = MOST_UNITS = 1 << 16
MOST_CELLS = 1 << 24
"""Most numbers of rows times steps, or of rows times units, in one sample."""


LEAST_JUDGED = 8
"""Held-out random rows without which masks are not ranked."""


class Row(IntEnum):
    """Why a row was recorded: nothing, all but the request, one content part, or one unit is
    removed; drawn by units, by content parts, or by base units where these are finer than units;
    or requested afterwards. A unit is removed or kept as one."""

    FULL = 0
    EMPTY = 1
    WITHOUT_PART = 2
    WITHOUT_UNIT = 3
    DRAWN = 4
    DRAWN_PARTS = 5
    DRAWN_BASE = 6
    ASKED = 7


@dataclass(frozen=True)
class Ablations:
    """The fixed response of T tokens under M masks over U base units of a prompt of n tokens.

    - `mode`: how tokens are removed: `mask`, hidden from the language model, which keeps all
      positions; `mean-embedding`, each replaced by the mean of its modality; `remove`, the prompt
      built and encoded again without them; `answer-mask`, hidden from the queries of the answer
      alone, so that what other prompt tokens took from them stays;
    - `unit_of` (n,) int32: the base unit of each prompt token; -1 is never removed;
    - `request` (U,) bool: units of the request, which drawn rows keep;
    - `kept` (M, U) bool; `why` (M,) uint8: a `Row`; `held_out` (M,) bool: drawn rows that are
      only for evaluation, never for fitting;
    - `log_odds` (M, T) float32: log p(y_t) - log(1 - p(y_t)), the logit of y_t minus the
      log-sum-exp of all others; unlike log p it is exact where p is close to 1.
    """

    name: str
    mode: str
    unit_of: Int32
    request: Bool
    kept: Bool
    why: UInt8
    held_out: Bool
    log_odds: Float32

    @property
    def logprob(self) -> Float64:
        """(M, T) log p(y_t) in nats."""
        return log_sigmoid(self.log_odds.astype(np.float64))

    @property
    def tokens(self) -> Int32:
        """(U,) int32: how many prompt tokens each base unit has."""
        own = self.unit_of[self.unit_of >= 0]
        return np.bincount(own, minlength=len(self.request)).astype(np.int32)


@dataclass(frozen=True)
class SingleUnits:
    """Units of a prompt of n tokens that are to be removed one at a time.

    `unit_of` (n,) int32: the unit of each token, -1 for none; `request` (U,) bool: units of the
    request; `removed`: the units to remove, by number.
    """

    unit_of: Int32
    request: Bool
    removed: tuple[int, ...]


def log_sigmoid(x: Float64) -> Float64:
    """log(1 / (1 + e^-x)) without overflow."""
    return -np.logaddexp(0.0, -x)


class AblationsData(Struct, frozen=True):
    """The data of a sample in kind `ablations`; arrays as base64 (docs/format.md)."""

    mode: Literal["mask", "mean-embedding", "remove", "answer-mask"]
    units: Annotated[int, Meta(ge=0, le=MOST_UNITS)]
    rows: Annotated[int, Meta(ge=1, le=MOST_ROWS)]
    unit_of: list[tuple[Annotated[int, Meta(ge=1)], Annotated[int, Meta(ge=-1)]]]
    request: str
    kept: str
    why: str
    held_out: str
    log_odds: str


def to_data(ablations: Ablations) -> AblationsData:
    """The JSON form."""
    return AblationsData(
        mode=ablations.mode,  # type: ignore[arg-type]
        units=len(ablations.request),
        rows=len(ablations.kept),
        unit_of=_runs(ablations.unit_of),
        request=_bits(ablations.request),
        kept=_bits(ablations.kept),
        why=_base64(ablations.why.astype(np.uint8)),
        held_out=_bits(ablations.held_out),
        log_odds=_base64(ablations.log_odds.astype("<f4")),
    )


def from_data(name: str, data: AblationsData, n: int, steps: int) -> Ablations:
    """The ablations of a sample of n prompt tokens and `steps` steps; ValueError if not legal."""
    rows, units = data.rows, data.units
    if rows * max(steps, units) > MOST_CELLS:
        raise ValueError(f"{rows} rows of {max(steps, units)} numbers are too many")
    unit_of = _unit_of(data, n)
    why = _array(data.why, np.dtype("u1"), (rows,))
    log_odds = _array(data.log_odds, np.dtype("<f4"), (rows, steps)).astype(np.float32)
    if why.max() > max(Row) or np.isnan(log_odds).any():
        raise ValueError("a row is of no known sort, or a number is none")
    return Ablations(
        name=name,
        mode=data.mode,
        unit_of=unit_of,
        request=_flags(data.request, (units,)),
        kept=_flags(data.kept, (rows, units)),
        why=why,
        held_out=_flags(data.held_out, (rows,)),
        log_odds=log_odds,
    )


def _unit_of(data: AblationsData, n: int) -> Int32:
    if sum(length for length, _ in data.unit_of) != n:
        raise ValueError(f"its units are not those of {n} prompt tokens")
    lengths, units = np.array(data.unit_of, np.int64).reshape(-1, 2).T
    if units.size and units.max() >= data.units:
        raise ValueError(f"it names a unit beyond its {data.units}")
    return np.repeat(units, lengths).astype(np.int32)


def _runs(values: Int32) -> list[tuple[int, int]]:
    """(length, value) of each run of equal values."""
    starts = np.flatnonzero(np.diff(values, prepend=-2))
    lengths = np.diff(np.append(starts, len(values)))
    return list(zip(lengths.tolist(), values[starts].tolist(), strict=True))


def _bits(flags: Bool) -> str:
    return _base64(np.packbits(flags.reshape(-1), bitorder="little"))


def _base64(values: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _flags(text: str, shape: tuple[int, ...]) -> Bool:
    count = int(np.prod(shape))
    packed = _array(text, np.dtype("u1"), (-(-count // 8),))
    return np.unpackbits(packed, count=count, bitorder="little").astype(bool).reshape(shape)


def _array(text: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    size = int(np.prod(shape)) * dtype.itemsize
    if len(text) != -(-size // 3) * 4:
        raise ValueError(f"an array that should hold {size} bytes has {len(text)} characters")
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"an array is not base64: {error}") from error
    if len(raw) != size:
        raise ValueError(f"an array should hold {size} bytes, not {len(raw)}")
    return np.frombuffer(raw, dtype).reshape(shape)
