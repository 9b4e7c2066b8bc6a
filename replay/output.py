"""Attributions as JSON data, schema `omnitrace.attribution/1`. Writes no file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import numpy as np

from omnitrace.config import to_dict
from omnitrace.timeline import Modality
from omnitrace.units import Units
from replay.attribution import Attribution, Span
from replay.config import ReplayConfig
from replay.faithfulness.verdict import Verdict

SCHEMA = "omnitrace.attribution/1"


def to_json(attributions: Iterable[Attribution], config: ReplayConfig) -> dict[str, Any]:
    """What `omnitrace replay --json` prints; keys without a value are absent."""
    return {
        "schema": SCHEMA,
        "config": to_dict(config),
        "samples": [_sample(attribution) for attribution in attributions],
    }


def json_pieces(attributions: Iterable[Attribution], config: ReplayConfig) -> Iterator[str]:
    """The document of `to_json` in pieces, a sample at a time, so that any run fits in memory.

    The first piece comes after the first attribution: what is wrong with every sample is raised
    before it.
    """
    rest = iter(attributions)
    first = list(islice(rest, 1))
    yield json.dumps(to_json([], config))[: -len("]}")]
    for position, attribution in enumerate(chain(first, rest)):
        yield (",\n" if position else "\n") + json.dumps(_sample(attribution))
    yield "\n]}\n"


def _sample(attribution: Attribution) -> dict[str, Any]:
    units, filtered = attribution.units, np.flatnonzero(attribution.dropped).tolist()
    return {
        "id": attribution.id,
        "response": attribution.response,
        "units": [_unit(units, index) for index in range(len(units))],
        "spans": [_span(span, attribution) for span in attribution.spans],
        **_where(attribution.where()),
        **({"filtered": filtered} if filtered else {}),
    }


def _where(shares: dict[str, float]) -> dict[str, Any]:
    """Where the scores lie, if that is known."""
    return {"where": shares} if shares else {}


def _unit(units: Units, index: int) -> dict[str, Any]:
    known: dict[str, Any] = {
        "id": units.id[index],
        "modality": Modality(int(units.modality[index])).label,
        "label": units.label[index],
    }
    if units.text[index] is not None:
        known["text"] = units.text[index]
    if not np.isnan(units.start_s[index]):
        known["start_s"] = float(units.start_s[index])
        known["end_s"] = float(units.end_s[index])
    if not np.isnan(units.box[index]).any():
        known["box"] = units.box[index].tolist()
    return known


def _verdict(verdict: Verdict) -> dict[str, Any]:
    effect = {} if verdict.effect is None else {"effect": verdict.effect}
    return {"cause": verdict.cause, **effect}


def _reliability(span: Span) -> dict[str, Any]:
    """The probability that the best source is right, and what took the sources away."""
    probability = span.reliability.probability if span.reliability else None
    known = {} if probability is None else {"probability": probability}
    return known | ({"unattributable": span.unattributable} if span.unattributable else {})


def _span(span: Span, attribution: Attribution) -> dict[str, Any]:
    thinking, units = {"thinking": True} if span.thinking else {}, attribution.units
    return {
        "text": span.text,
        "start": span.start,
        "end": span.end,
        **thinking,
        "sources": [
            {
                "unit": units.id[s.unit],
                "mass": s.mass,
                "run": s.run,
                "score": s.score,
                **_verdict(v),
            }
            for s, v in zip(span.sources, span.judged, strict=True)
        ],
        "dropped": [{"unit": units.id[d.unit], "rule": d.rule} for d in span.dropped],
        **_where(attribution.where(span.steps)),
        **_reliability(span),
    }
