"""Steps of a response found by a query, and places that the user can go to. Knows no widget."""

from __future__ import annotations

import re

import numpy as np

from omnitrace import CommandError, Trace
from omnitrace.arrays import Array, Bool
from omnitrace.timeline import Modality
from tui.query import Columns, among, holding
from tui.trace.state import Answer

_PLACE = re.compile(r"(s?)(\d+)")


def steps_found(answer: Answer, query: str) -> Bool | None:
    """(T,) bool: the steps that a query selects; None for a blank query, CommandError for one
    that is not valid."""
    return columns_of(answer).select(query) if query.strip() else None


def columns_of(answer: Answer) -> Columns:
    """The fields that a query can name: a word matches each step that wrote a part of it."""
    trace, attribution = answer.trace, answer.attribution
    units = attribution.units
    modality = np.append(units.modality, Modality.SPECIAL)[attribution.unit]
    names = [*(f"{i} {label}" for i, label in zip(units.id, units.label, strict=True)), ""]
    numbers: dict[str, Array] = {
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
            "text": lambda word: steps_writing(trace, word),
            "pos": holding(trace.pos),
            "unit": holding(names[unit] for unit in attribution.unit.tolist()),
            "from": among({m.label: modality == m for m in list(Modality)[:4]}),
            "is": among({"disputed": answer.response.disputed}),
        },
    )


def steps_writing(trace: Trace, word: str) -> Bool:
    """(T,) bool: the steps that wrote a part of `word` in the response, case ignored."""
    change = np.zeros(len(trace.response) + 1, np.int32)
    text = trace.response.lower()
    if not word or len(text) != len(trace.response):  # a few letters grow when they are lowered
        text = trace.response
    at = text.find(word) if word else -1
    while at >= 0:
        change[at] += 1
        change[at + len(word)] -= 1
        at = text.find(word, at + len(word))
    inside = np.concatenate([[0], np.cumsum(np.cumsum(change)[:-1] > 0)])
    found: Bool = inside[trace.chars[:, 1]] > inside[trace.chars[:, 0]]
    return found


def step_at_place(answer: Answer, text: str) -> int:
    """The step that `12` (a step) or `s3` (a span), counted from 1, names; CommandError if none."""
    found = _PLACE.fullmatch(text.strip().lower())
    steps, spans = answer.opened.trace.T, answer.attribution.spans
    if not found or not 1 <= int(found[2]) <= (len(spans) if found[1] else steps):
        legal = f"a step from 1 to {steps}, or to a span from s1 to s{len(spans)}"
        raise CommandError(f"go to {legal}.")
    number = int(found[2]) - 1
    return spans[number].steps[0] if found[1] else number
