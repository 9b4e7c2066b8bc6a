"""What can be asked of the steps of a response, and places that the reader can go to."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from omnitrace import CommandError, Trace
from omnitrace.timeline import Modality
from replay import Attribution
from tui.query import Columns, among, holding
from tui.trace.marks import Bool

_PLACE = re.compile(r"(s?)(\d+)")


def columns_of(trace: Trace, attribution: Attribution, disputed: Bool) -> Columns:
    """What can be asked of steps: words lie in what a step wrote, or across a few."""
    units = attribution.units
    modality = np.append(units.modality, Modality.SPECIAL)[attribution.unit]
    names = [*(f"{i} {label}" for i, label in zip(units.id, units.label, strict=True)), ""]
    numbers: dict[str, npt.NDArray[Any]] = {
        "step": np.arange(1, trace.T + 1),
        "confidence": attribution.confidence,
        "vote": attribution.vote,
        "logp": trace.logprob,
        "entropy": trace.entropy,
    }
    return Columns(
        trace.T,
        numbers,
        {
            "text": lambda word: saying(trace, word),
            "pos": holding(trace.pos),
            "unit": holding(names[unit] for unit in attribution.unit.tolist()),
            "from": among({m.label: modality == m for m in list(Modality)[:4]}),
            "is": among({"disputed": disputed}),
        },
    )


def saying(trace: Trace, word: str) -> Bool:
    """(T,) bool: the steps that wrote a part of `word` where the response says it, case aside."""
    said = np.zeros(len(trace.response) + 1, np.int32)
    text = trace.response.lower()
    if not word or len(text) != len(trace.response):  # a few letters grow when they are lowered
        text = trace.response
    at = text.find(word) if word else -1
    while at >= 0:
        said[at] += 1
        said[at + len(word)] -= 1
        at = text.find(word, at + len(word))
    inside = np.concatenate([[0], np.cumsum(np.cumsum(said)[:-1] > 0)])
    found: npt.NDArray[np.bool_] = inside[trace.chars[:, 1]] > inside[trace.chars[:, 0]]
    return found


def place_of(text: str, trace: Trace, attribution: Attribution) -> int:
    """The step that `12` (a step) or `s3` (a span), counted from 1, names; CommandError if none."""
    found = _PLACE.fullmatch(text.strip().lower())
    count = len(attribution.spans) if found and found[1] else trace.T
    if not found or not 1 <= int(found[2]) <= count:
        raise CommandError(
            f"go to a step from 1 to {trace.T}, or to a span from s1 to s{len(attribution.spans)}."
        )
    number = int(found[2]) - 1
    return attribution.spans[number].steps[0] if found[1] else number
