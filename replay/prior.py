"""The prior: what each relative place of a prompt gets in the samples of a run, whatever they ask.

A file of the mean scores by modality and relative place, a sample each, so that a sample is
compared with the others only. Made from rows; knows no unit's mass and no span.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np

from omnitrace.arrays import Bool, Float64, Int64
from omnitrace.atomic import atomic_write
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.kept import parsed_file
from omnitrace.prompt import Prompt
from omnitrace.timeline import Modality
from replay.rows import Rows
from replay.tokens import mean_scores

SCHEMA = "omnitrace.prior/1"
PLACES = 32
"""How many relative places there are of a modality."""


class PriorFile(msgspec.Struct, forbid_unknown_fields=True):
    """The file as JSON: modality → a value a relative place, by sample; null where no token lies.

    A value is the mean score of the tokens there times n, so that 1 is what even attention gives.
    """

    schema: str
    signal: str
    samples: dict[str, dict[str, list[float | None]]]


@dataclass(frozen=True)
class Prior:
    """`samples`: id → modality → (32,) float64, NaN where no token lies. `digest`: of the file."""

    signal: str
    samples: Mapping[str, Mapping[str, Float64]]
    digest: str = ""

    def usual(self, prompt: Prompt) -> Float64:
        """(n,) float64: what each token's relative place gets in the mean over the other samples.

        0 for the tokens of the template, and for places of which no other sample has a token.
        """
        found = np.zeros(prompt.n)
        for modality in Modality:
            tokens, place = relative_places(prompt, modality)
            curves = [
                curve[modality.label]
                for id, curve in self.samples.items()
                if id != prompt.id and modality.label in curve
            ]
            if tokens.any() and curves:
                found[tokens] = _mean_over_known(np.array(curves))[place] / prompt.n
        return found


def prior_of(prompt: Prompt, rows: Rows, dropped: Bool) -> dict[str, Float64]:
    """What a sample's places get: modality → (32,); tokens that are `dropped` (n,) do not count."""
    mean = mean_scores(rows) * prompt.n
    found = {}
    for modality in Modality:
        tokens, place = relative_places(prompt, modality)
        counted = ~dropped[tokens]
        if counted.any():
            size = np.bincount(place[counted], minlength=PLACES)
            total = np.bincount(place[counted], mean[tokens][counted], PLACES)
            found[modality.label] = np.where(size > 0, total / np.maximum(size, 1), np.nan)
    return found


def relative_places(prompt: Prompt, modality: Modality) -> tuple[Bool, Int64]:
    """(n,) bool: the tokens of a modality, none of the template's; (k,) which of the 32 relative
    places each of them has among its modality's, in the order of the prompt."""
    tokens = prompt.timeline.modality == modality
    if modality == Modality.SPECIAL:
        tokens = np.zeros_like(tokens)
    count = int(tokens.sum())
    return tokens, np.arange(count) * PLACES // max(1, count)


def write_prior(path: Path, signal: str, samples: Mapping[str, Mapping[str, Float64]]) -> None:
    """Write the file, completely or not at all."""
    plain = {
        id: {
            name: [None if np.isnan(value) else round(float(value), 6) for value in curve]
            for name, curve in curves.items()
        }
        for id, curves in samples.items()
    }
    with atomic_write(path, OmniTraceError) as temporary:
        temporary.write_bytes(msgspec.json.encode(PriorFile(SCHEMA, signal, plain)) + b"\n")


def read_prior(path: str, signal: str) -> Prior:
    """The prior of a file, read once while it does not change; CommandError if it cannot be read,
    is none, or was made of another signal."""
    prior = parsed_file(path, "prior", _parse)
    if prior.signal != signal:
        raise CommandError(
            f"the prior {path} was made of the signal {prior.signal}, not of {signal}; make one "
            "with `omnitrace prior` under this configuration."
        )
    return prior


def signal_of_prior(path: str) -> str:
    """The signal that the prior of a file was made of; CommandError if it is none."""
    return parsed_file(path, "prior", _parse).signal


def _parse(path: str, data: bytes) -> Prior:
    try:
        file = msgspec.json.decode(data, type=PriorFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(
            f"{path} is no prior: {error}; write one with `omnitrace prior`."
        ) from error
    curves = {
        id: {name: np.array(curve, np.float64) for name, curve in own.items()}
        for id, own in file.samples.items()
    }
    if file.schema != SCHEMA or any(
        curve.shape != (PLACES,) for own in curves.values() for curve in own.values()
    ):
        raise CommandError(
            f"{path} is no prior of schema {SCHEMA}; write one with `omnitrace prior`."
        )
    return Prior(file.signal, curves, sha256(data).hexdigest())


def _mean_over_known(curves: Float64) -> Float64:
    """(32,): the mean of the curves (k, 32) that have a value there; 0 where none has."""
    known = np.isfinite(curves)
    total = np.where(known, curves, 0).sum(axis=0)
    mean: Float64 = total / np.maximum(known.sum(axis=0), 1)
    return mean
