"""What tokens and units are, by kind: the audio of a video is `video`. Knows no score."""

from __future__ import annotations

import numpy as np

from omnitrace.arrays import Int64
from omnitrace.timeline import Modality
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.evaluation import MODALITIES

KINDS = (*MODALITIES, "special", "generated")
"""`special` is what the chat template adds, `generated` the answer's own earlier tokens."""
SPECIAL, GENERATED = KINDS.index("special"), KINDS.index("generated")


def kinds_of_tokens(trace: Trace) -> Int64:
    """(n+T,) int64: the index in KINDS of every prompt token, then of every response token."""
    line = trace.timeline
    media = np.array([KINDS.index(medium.kind) for medium in trace.media] + [SPECIAL])
    prompt = np.where(line.medium >= 0, media[line.medium], 0)
    prompt[line.modality == Modality.SPECIAL] = SPECIAL
    return np.concatenate([prompt, np.full(trace.T, GENERATED)])


def kinds_of_units(trace: Trace, units: Units) -> Int64:
    """(m,) int64: the index in KINDS of every unit."""
    media = np.array([KINDS.index(medium.kind) for medium in trace.media] + [0])
    kinds: Int64 = np.where(units.medium >= 0, media[units.medium], 0)
    return kinds
