"""The JSON that programs read: schema `omnitrace.attribution/1`, key by key."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from omnitrace.config import to_dict
from replay import PRESETS, attribute
from replay.output import to_json
from tests.build import make_trace


class Unit(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    modality: str
    label: str
    text: str | msgspec.UnsetType = msgspec.UNSET
    start_s: float | msgspec.UnsetType = msgspec.UNSET
    end_s: float | msgspec.UnsetType = msgspec.UNSET
    box: tuple[float, float, float, float] | msgspec.UnsetType = msgspec.UNSET


class Source(msgspec.Struct, forbid_unknown_fields=True):
    unit: str
    mass: float
    run: float
    score: float
    cause: str
    effect: float | msgspec.UnsetType = msgspec.UNSET


class Dropped(msgspec.Struct, forbid_unknown_fields=True):
    unit: str
    rule: str


class Span(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    start: int
    end: int
    sources: list[Source]
    dropped: list[Dropped]
    thinking: bool | msgspec.UnsetType = msgspec.UNSET


class Sample(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    response: str
    units: list[Unit]
    spans: list[Span]


class Document(msgspec.Struct, forbid_unknown_fields=True):
    schema: str
    config: dict[str, Any]
    samples: list[Sample]


@pytest.mark.parametrize("name", PRESETS)
def test_the_document_is_the_schema_and_nothing_more(name: str) -> None:
    config = PRESETS[name]
    attributions = [attribute(make_trace(id, seed), config) for seed, id in enumerate("ab")]
    text = json.dumps(to_json(attributions, config), allow_nan=False)
    document = msgspec.json.decode(text, type=Document)
    assert document.schema == "omnitrace.attribution/1"
    assert document.config == to_dict(config)
    assert [sample.id for sample in document.samples] == ["a", "b"]
    for sample, attribution in zip(document.samples, attributions, strict=True):
        ids = {unit.id for unit in sample.units}
        for span, computed in zip(sample.spans, attribution.spans, strict=True):
            assert sample.response[span.start : span.end] == span.text
            assert {s.unit for s in span.sources} | {d.unit for d in span.dropped} <= ids
            assert [s.mass for s in span.sources] == [s.mass for s in computed.sources]
            assert [d.rule for d in span.dropped] == [d.rule for d in computed.dropped]


def test_only_a_span_of_thinking_says_so() -> None:
    trace = make_trace(meta={"thinking": [0, 30]})
    made = to_json([attribute(trace), attribute(make_trace("b"))], PRESETS["default"])
    document = msgspec.json.decode(json.dumps(made), type=Document)
    said = [[span.thinking for span in sample.spans] for sample in document.samples]
    unset = msgspec.UNSET
    assert said == [[True, unset, unset], [unset] * 3]


def test_a_unit_has_only_the_keys_that_it_has_values_for() -> None:
    sample = to_json([attribute(make_trace())], PRESETS["default"])["samples"][0]
    assert sample["units"][0] == {
        "id": "text-0",
        "modality": "text",
        "label": "text 1",
        "text": "The parcel weighs seven kilos.",
    }
    assert sample["units"][2] == {
        "id": "image-0",
        "modality": "image",
        "label": "image 1",
        "box": [0.0, 0.0, 1.0, 1.0],
    }
    assert sample["units"][4] == {
        "id": "audio-0:1-2",
        "modality": "audio",
        "label": "audio 1 1–2 s",
        "start_s": 1.0,
        "end_s": 2.0,
    }
