"""The JSON that programs read: schema `omnitrace.attribution/1`, key by key."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omnitrace.config import to_dict
from replay import PRESETS, attribute
from replay.config import ReliabilityConfig, TokenConfig
from replay.output import to_json
from replay.reliability import Calibration, write_calibration
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


class Where(msgspec.Struct, forbid_unknown_fields=True):
    units: float
    request: float
    template: float
    filtered: float
    answer: float


class Span(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    start: int
    end: int
    sources: list[Source]
    dropped: list[Dropped]
    thinking: bool | msgspec.UnsetType = msgspec.UNSET
    where: Where | msgspec.UnsetType = msgspec.UNSET
    probability: float | msgspec.UnsetType = msgspec.UNSET
    unattributable: str | msgspec.UnsetType = msgspec.UNSET


class Sample(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    response: str
    units: list[Unit]
    spans: list[Span]
    where: Where | msgspec.UnsetType = msgspec.UNSET
    filtered: list[int] | msgspec.UnsetType = msgspec.UNSET


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


def test_where_the_scores_lie_sums_to_one() -> None:
    for tokens, filtered in ((TokenConfig(), 0), (TokenConfig(heaviest=2), 2)):
        config = replace(PRESETS["default"], tokens=tokens)
        text = json.dumps(to_json([attribute(make_trace(), config)], config))
        (sample,) = msgspec.json.decode(text, type=Document).samples
        assert len(sample.filtered or []) == filtered
        for where in (sample.where, *(span.where for span in sample.spans)):
            assert isinstance(where, Where)
            shares = msgspec.structs.astuple(where)
            assert sum(shares) == pytest.approx(1)
            assert min(where.units, where.request, where.template, where.answer) > 0
            assert (where.filtered > 0) == bool(filtered)


def test_a_span_says_why_it_is_not_attributable(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    write_calibration(file, Calibration(0.0, {"top": 1.0}), 1, 1, {})
    for trust, why in (
        (ReliabilityConfig(str(file), least=0.1), None),
        (ReliabilityConfig(str(file), least=0.9), "least"),
        (ReliabilityConfig(nameable=0.99), "nameable"),
    ):
        config = replace(PRESETS["default"], reliability=trust)
        text = json.dumps(to_json([attribute(make_trace(), config)], config))
        for span in msgspec.json.decode(text, type=Document).samples[0].spans:
            assert (span.probability is msgspec.UNSET) == (not trust.calibration)
            assert (span.unattributable or None) == why
            assert (not span.sources) == bool(why)
            assert any(d.rule == why for d in span.dropped) == bool(why)


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
