"""What the gate asks of a sample, and its answer from what was measured. Data only; no model.

A sample is kept if its answer is right, if it is as likely when it is forced as when it was
recorded, and if it becomes less likely when its evidence is hidden. What is measured of a sample
holds for any thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from omnitrace.config import option
from recorder.config import ReloadConfig

STAGES = ("right", "stable", "caused")
"""What is asked, in this order."""


@dataclass(frozen=True)
class GateRules:
    """Which samples are kept, by what is measured of them."""

    samples: str = option("", "the samples file that was recorded")
    least_fall: float = option(
        0.1,
        "nats a token by which each sentence must become less likely without its evidence",
        bounds=(0.0, 100.0, 0.05),
    )
    most_drift: float = option(
        0.05,
        "nats a token that the forced answer may be off what was recorded, on average",
        bounds=(0.0, 100.0, 0.05),
    )
    least_logprob: float = option(
        -6.0,
        "nats a token that the forced answer must have on average",
        bounds=(-100.0, 0.0, 0.5),
    )


# Dataclasses take the fields of the last base first.
@dataclass(frozen=True)
class GateConfig(ReloadConfig, GateRules):
    """Which samples are kept, and the model that says so."""


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured of one sample, a line of the file that the gate resumes from.

    - `key`: of the recording and its line of evidence; what has another key is measured again;
    - `right`: the answer was given, or holds an accepted one; where not, nothing else is measured;
    - `drift`: nats a token, the mean distance of the forced answer's log-probabilities from the
      recorded ones; `logprob`: the mean of the forced ones;
    - `falls`: of each sentence with evidence, by how many nats a token it is less likely without;
    - `same`, `changes`: of an answer that the model gave itself, whether it gives it again, and
      whether it gives no accepted answer without the evidence; None of others.
    """

    id: str
    key: str
    right: bool
    drift: float = 0.0
    logprob: float = 0.0
    falls: tuple[float, ...] = ()
    same: bool | None = None
    changes: bool | None = None


@dataclass(frozen=True)
class Funnel:
    """How many samples passed each stage of `STAGES`, of `samples`; `kept`: ids of those that
    passed all, in order; `lost`: id → the first stage that it did not pass."""

    samples: int
    passed: dict[str, int]
    kept: tuple[str, ...]
    lost: dict[str, str] = field(default_factory=dict)


def lost_at(measured: Measured, config: GateConfig) -> str:
    """The first stage of `STAGES` that the sample does not pass; empty if it is kept."""
    stable = (
        measured.drift <= config.most_drift
        and measured.logprob >= config.least_logprob
        and measured.same is not False
    )
    caused = min(measured.falls, default=0.0) >= config.least_fall and measured.changes is not False
    passed = zip(STAGES, (measured.right, stable, caused), strict=True)
    return next((stage for stage, passes in passed if not passes), "")


def funnel(measured: Iterable[Measured], config: GateConfig) -> Funnel:
    """Which of the samples are kept, and where the others are lost."""
    lost = {one.id: lost_at(one, config) for one in measured}
    at = [STAGES.index(stage) if stage else len(STAGES) for stage in lost.values()]
    return Funnel(
        samples=len(lost),
        passed={stage: sum(a > number for a in at) for number, stage in enumerate(STAGES)},
        kept=tuple(id for id, stage in lost.items() if not stage),
        lost={id: stage for id, stage in lost.items() if stage},
    )
