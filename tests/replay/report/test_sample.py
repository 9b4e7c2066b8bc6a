"""What the page is made of: nothing of a text is lost, marks and misses by hand, one scale."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from omnitrace.timeline import Modality
from omnitrace.trace import Trace, pack_rows
from omnitrace.units import UnitConfig
from replay import PRESETS, ReplayConfig, attribute
from replay.evaluation.truth import Evidence
from replay.report.marks import marks_of
from replay.report.media import MediaEmbedder
from replay.report.sample import ALL, PartView, SampleView, sample_view
from tests.build import make_trace
from tests.replay.analyses.golds import (
    FACT,
    OTHER_FACT,
    PICTURE,
    TONE,
    claiming,
    judged,
    truth_of,
)

CONFIG = PRESETS["paper"]
FILM = Evidence(3)


def view(trace: Trace, config: ReplayConfig = CONFIG) -> SampleView:
    return sample_view(0, trace, attribute(trace, config), None, MediaEmbedder())


def parts(trace: Trace, config: ReplayConfig = CONFIG) -> list[PartView]:
    return [part for _, parts in view(trace, config).messages for part in parts]


def scored(trace: Trace, tokens: np.ndarray[tuple[int], np.dtype[np.bool_]], first: int) -> Trace:
    """The trace with all score of the steps before `first` on `tokens`, a tenth of it after."""
    scores = np.zeros((trace.T, trace.n + trace.T), np.float32)
    scores[:first, np.flatnonzero(tokens)] = 1
    scores[first:, np.flatnonzero(tokens)] = 0.1
    rows = replace(trace.signals["attmean"], values=pack_rows(scores, trace.n))
    return replace(trace, signals={"attmean": rows})


@pytest.mark.parametrize("text", ["sentence", "release", "part"])
def test_no_text_is_lost(text: str) -> None:
    trace = make_trace()
    shown = view(trace, replace(CONFIG, units=UnitConfig(text=text)))
    assert "".join(piece for piece, _ in shown.pieces) == trace.response
    said = [p for _, some in shown.messages for p in some if p.kind == "text"]
    prompt = "".join(piece for part in said for piece, _ in part.pieces)
    assert prompt.split() == trace.prompt_text.split()
    for part in said:
        for piece, unit in part.pieces:
            if unit is not None and unit.text:
                assert piece.strip() in unit.text


def test_thinking_is_marked_and_what_is_not_attributed_is_plain_text() -> None:
    trace = make_trace(meta={"thinking": [0, 30]})
    assert [span.thinking for span in view(trace).spans] == [True, False, False]
    shown = view(trace, replace(CONFIG, response="answer"))
    assert [span.thinking for span in shown.spans] == [False, False]
    assert shown.pieces[0] == (trace.response[:31], None)
    assert "".join(piece for piece, _ in shown.pieces) == trace.response


def test_parts_in_order_with_their_units() -> None:
    found = parts(make_trace())
    assert [(part.kind, part.label) for part in found] == [
        ("text", ""),
        ("image", "image 1"),
        ("audio", "audio 1"),
        ("video", "video 1"),
        ("text", ""),
    ]
    assert [unit.label for unit in found[2].units] == [f"audio 1 {s}–{s + 1} s" for s in range(3)]
    grid = parts(make_trace(), replace(CONFIG, units=UnitConfig(image="grid")))[1]
    assert [unit.box for unit in grid.units][3] == (0.5, 0.5, 1.0, 1.0)


def test_heat_of_a_span_is_on_the_scale_of_all() -> None:
    trace = make_trace()
    line = trace.timeline
    hot = scored(trace, (line.medium == 0) & (line.row == 1) & (line.column == 0), 6)
    layers = {layer.span: layer.heat_map for layer in parts(hot)[1].layers}
    assert set(layers) == {ALL, "0", "1", "2"}

    def alpha(name: str) -> list[list[int]]:
        data = base64.b64decode(layers[name].partition(",")[2])
        found: list[list[int]] = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))[
            ..., 3
        ].tolist()
        return found

    assert alpha("0") == [[0, 0], [217, 0]]
    assert 0 < alpha("2")[1][0] < 60


def test_bars_are_on_one_scale_over_all_media() -> None:
    trace = make_trace()
    line = trace.timeline
    loud = scored(trace, (line.medium == 1) & (line.start_s >= 2), 6)
    _, _, sound, film, _ = parts(loud)
    assert {layer.span: layer.bars for layer in sound.layers}["0"] == (0, 0, 1)
    assert {layer.span: layer.bars for layer in sound.layers}["2"] == (0, 0, 0.1)
    assert all(layer.bars == (0, 0) for layer in film.layers)


def test_without_single_rows_there_is_no_heat() -> None:
    trace = make_trace()
    attribution = attribute(trace, CONFIG)
    unread = replace(attribution, config=replace(CONFIG, signal="nothing"))
    shown = sample_view(0, trace, unread, None, MediaEmbedder())
    media = [p for _, some in shown.messages for p in some if p.kind != "text"]
    assert [part.layers for part in media] == [(), (), ()]
    assert Modality.VIDEO.label == media[2].kind


def test_marks_by_hand() -> None:
    found = claiming(
        {"text-0": 0.6, "image-0": 0.4}, {"text-1": 1.0}, {"audio-0:0-1": 1.0},
        dropped={"image-0": 0.1},
    )  # fmt: skip
    trace, attribution, gold = judged(found, truth_of((FACT,), (OTHER_FACT, PICTURE), (TONE, FILM)))
    first, second, third = marks_of(trace, attribution, gold)
    ids = attribution.units.id
    assert {ids[unit]: right for unit, right in first.right.items()} == {
        "text-0": True, "image-0": False,
    }  # fmt: skip
    assert first.missed == ()
    assert {ids[unit]: right for unit, right in second.right.items()} == {
        "text-1": True, "image-0": True,
    }  # fmt: skip
    assert second.missed == (("image", "image 1"),)
    assert third.missed == (("audio", "audio 1 1–2 s"), ("video", "video 1 0–2 s"))


def test_what_was_missed_of_a_text_is_quoted() -> None:
    found = claiming({}, {"image-0": 1.0}, {})
    trace, attribution, gold = judged(found, truth_of((FACT,), None, (TONE,)))
    first, second, _ = marks_of(trace, attribution, gold)
    assert first.missed == (("text", "“The parcel weighs seven kilos.”"),)
    assert (second.known, second.right, second.missed) == (False, {}, ())
