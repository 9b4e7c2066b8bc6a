"""How far a span's best source can be trusted: features of its votes, and a calibrated probability.

The map from features to a probability is learned from samples with labels (`omnitrace calibrate`)
and is data, a JSON file. Knows shares of votes and of scores; no trace and no unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np

from omnitrace.arrays import Float64
from omnitrace.atomic import atomic_write
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.kept import parsed_file
from replay.config import ReliabilityConfig
from replay.curate import Dropped, Source

SCHEMA = "omnitrace.calibration/1"
BUNDLED = "bundled"
FEATURES = ("top", "margin", "nameable")
"""The largest share of the votes that a source has; how much larger it is than the next unit's,
kept or not; the share of the span's scores on units that can be named, NaN where unknown."""
_RIDGE, _ROUNDS, _RATE = 0.01, 4000, 0.5


class CalibrationFile(msgspec.Struct, forbid_unknown_fields=True):
    """The file as JSON: p = 1 / (1 + exp(-intercept - Σ weight · feature)).

    `weights`: none negative, so that p never falls where a feature rises; `spans`, `samples`: how
    many it was learned from; `config`: the replay configuration that these were attributed with.
    """

    schema: str
    intercept: float
    weights: dict[str, float]
    spans: int = 0
    samples: int = 0
    config: dict[str, object] = {}


@dataclass(frozen=True)
class Calibration:
    """A monotone map from the features of a span to the probability that its best source is
    right."""

    intercept: float
    weights: Mapping[str, float]

    def probability(self, features: Sequence[float]) -> float | None:
        """Of `features` by `FEATURES`; None where one that has a weight is not known (NaN)."""
        weights = [self.weights.get(name, 0.0) for name in FEATURES]
        known = [(w, value) for w, value in zip(weights, features, strict=True) if w]
        if any(np.isnan(value) for _, value in known):
            return None
        exponent = -self.intercept - sum(weight * value for weight, value in known)
        return float(1 / (1 + np.exp(np.clip(exponent, -500, 500))))


@dataclass(frozen=True)
class Reliability:
    """How far the best source of a span can be trusted: `FEATURES`, and the `probability` that it
    is right, None without a calibration."""

    top: float
    margin: float
    nameable: float
    probability: float | None = None

    @property
    def features(self) -> tuple[float, ...]:
        """In the order of `FEATURES`."""
        return self.top, self.margin, self.nameable


def reliability_of(
    sources: Sequence[Source],
    dropped: Sequence[Dropped],
    nameable: float,
    calibration: Calibration | None = None,
) -> Reliability | None:
    """The reliability of a span; None for a span without a source, which has nothing to trust."""
    if not sources:
        return None
    best = max(sources, key=lambda source: source.mass)
    others = [source.mass for source in sources if source is not best]
    rest = max([*others, *(one.mass for one in dropped)], default=0.0)
    features = best.mass, best.mass - rest, nameable
    return Reliability(*features, calibration.probability(features) if calibration else None)


def unattributable(known: Reliability, config: ReliabilityConfig) -> str:
    """The key by which a span gets no source, `least` or `nameable`; empty if it keeps them."""
    if known.probability is not None and known.probability < config.least:
        return "least"
    return "nameable" if known.nameable < config.nameable else ""


def fit(features: Float64, right: Float64) -> Calibration:
    """The calibration of k spans: `features` (k, 3) by `FEATURES`, `right` (k,) 0 or 1.

    Logistic regression on standardised features, weights not below 0, ridge 0.01, by projected
    gradient steps: always the same. A feature that is not known of every span has no weight.
    OmniTraceError unless some spans are right and some are wrong.
    """
    if not len(right) or right.min() == right.max():
        raise OmniTraceError(
            f"{len(right)} spans have labels, and not both right and wrong ones are among them: "
            "there is nothing to calibrate; label more samples."
        )
    usable = np.isfinite(features).all(axis=0)
    mean = np.where(usable, features.mean(axis=0), 0)
    spread = np.where(usable, features.std(axis=0), 0)
    usable &= spread > 0
    standard = np.where(usable, (features - mean) / np.where(usable, spread, 1), 0)
    weights, intercept = np.zeros(features.shape[1]), 0.0
    for _ in range(_ROUNDS):
        error = 1 / (1 + np.exp(-intercept - standard @ weights)) - right
        intercept -= _RATE * float(error.mean())
        slope = standard.T @ error / len(right) + _RIDGE * weights
        weights = np.maximum(weights - _RATE * slope, 0.0)
    own = np.where(usable, weights / np.where(usable, spread, 1), 0)
    named = dict(zip(FEATURES, own.tolist(), strict=True))
    return Calibration(intercept - float(own @ mean), named)


def calibration_error(probability: Float64, right: Float64, bins: int = 10) -> float:
    """The expected calibration error Σ_b n_b/N · |mean probability - part that is right| over
    equal bins of [0, 1]; NaN of nothing."""
    if not len(right):
        return float("nan")
    at = np.minimum((probability * bins).astype(int), bins - 1)
    gap = np.bincount(at, probability - right, bins)
    return float(np.abs(gap).sum() / len(right))


def read_calibration(name: str) -> Calibration | None:
    """The calibration of that name: none if empty, the bundled one, or that of a file.

    CommandError if it cannot be read or is none.
    """
    if not name:
        return None
    if name == BUNDLED:
        return _parsed(name, files("replay").joinpath("data/calibration.json").read_bytes())
    return parsed_file(name, "calibration", _parsed)


def _parsed(name: str, data: bytes) -> Calibration:
    try:
        file = msgspec.json.decode(data, type=CalibrationFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(
            f"{name} is no calibration: {error}; write one with `omnitrace calibrate`."
        ) from error
    if (
        file.schema != SCHEMA
        or set(file.weights) - set(FEATURES)
        or min([0.0, *file.weights.values()])
    ):
        raise CommandError(
            f"{name} is no calibration of schema {SCHEMA} with weights from 0 on of "
            f"{', '.join(FEATURES)}; write one with `omnitrace calibrate`."
        )
    return Calibration(file.intercept, file.weights)


def write_calibration(
    path: Path, made: Calibration, spans: int, samples: int, config: dict[str, object]
) -> None:
    """Write the file, completely or not at all."""
    file = CalibrationFile(SCHEMA, made.intercept, dict(made.weights), spans, samples, config)
    with atomic_write(path, OmniTraceError) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n")
