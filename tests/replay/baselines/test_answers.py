"""Answers of self-attribution: what is legal stays, the rest is mended into what is legal."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnitrace import Trace
from omnitrace.timeline import Medium
from replay.baselines.answers import question, read_answer
from replay.evaluation import judging_space
from replay.evaluation.labels import check_labels
from tests.build import make_trace

TRACE = make_trace()
SECOND = Medium("audio", "b.wav", "3" * 64, duration_s=2.5)
TWO_TONES = replace(TRACE, media=(*TRACE.media, SECOND))
KEYS = ("text_source", "image_source", "audio_source", "video_source")
EMPTY: dict[str, Any] = {key: [] for key in KEYS}


def read(text: str, trace: Trace = TRACE) -> tuple[Any, str]:
    answer = read_answer(trace, text, "self")
    assert answer.labels.labeller == "self"
    return json.loads(msgspec.json.encode(answer.labels.labels)), answer.state


def entries(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [EMPTY | (changes[index] if index < len(changes) else {}) for index in range(3)]


def test_the_question_has_places_for_the_media() -> None:
    _, user = question(TRACE)
    places = [(part["type"], part["index"]) for part in user["content"] if "index" in part]
    assert places == [("image", 0), ("audio", 1), ("video", 2)]
    texts = "\n".join(part.get("text", "") for part in user["content"])
    assert '[0] "The parcel weighs seven kilos."' in texts
    assert '[2] "A tone sounds."' in texts


LEGAL = entries({"text_source": [0, 1]}, {"image_source": [0]}, {"audio_source": [[0, 1], [2, 3]]})


@pytest.mark.parametrize("space", ["", " ", "\n"])
def test_a_legal_answer_stays_as_it_is(space: str) -> None:
    text = space + json.dumps(LEGAL) + space
    assert read(text) == (LEGAL, "legal")


@pytest.mark.parametrize(
    "around",
    ["```json\n{}\n```", "Here it is [as asked]: {}", "{} I hope [this] helps.", "[[1]] {}"],
)
def test_words_around_an_answer_are_passed_over(around: str) -> None:
    assert read(around.replace("{}", json.dumps(LEGAL))) == (LEGAL, "mended")


MENDED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ids that are none": ({"text_source": [9, -1, 1.0, True, "0", None, 0]}, {"text_source": [0]}),
    "ids out of order": ({"text_source": [1, 0, 1]}, {"text_source": [0, 1]}),
    "a number alone": ({"image_source": 0}, {}),
    "another key": ({"image_source": [0], "why": "it shows"}, {"image_source": [0]}),
    "no stretches": ({"audio_source": [[1], [1, 2, 3], [2, 1], [0, 4], ["0", 1], 5]}, {}),
    "out of order": (
        {"audio_source": [[2, 3], [0, 1]]},
        {"audio_source": [[0, 1], [2, 3]]},
    ),
    "overlapping": (
        {"video_source": [[0, 1.5], [1, 2], [1.5, 2]]},
        {"video_source": [[0, 1.5], [1.5, 2]]},
    ),
}


@pytest.mark.parametrize("what", MENDED)
def test_what_is_not_legal_is_left_out(what: str) -> None:
    said, kept = MENDED[what]
    assert read(json.dumps(entries(said))) == (entries(kept), "mended")


def test_missing_keys_and_sentences_are_empty_and_further_ones_left_out() -> None:
    assert read('[{"text_source": [1]}]') == (entries({"text_source": [1]}), "mended")
    assert read(json.dumps([*LEGAL, EMPTY])) == (LEGAL, "mended")
    assert read("[]") == (entries(), "mended")


@pytest.mark.parametrize(
    "text",
    ["", "Who knows.", "[1, 2]", '[{"text_source": [0', pytest.param("[" * 9999, id="deep"), "{}"],
)
def test_what_cannot_be_read_is_empty(text: str) -> None:
    assert read(text) == (entries(), "unreadable")


def test_stretches_name_their_recording_where_there_are_several() -> None:
    said = entries(
        {"audio_source": [[1, 0, 3], [0, 2, 3], [0, 0, 1], [2, 0, 1], [0.0, 1, 2], [0, 1]]}
    )
    kept = entries({"audio_source": [[0, 0, 1], [0, 2, 3], [1, 0, 3]]})
    assert read(json.dumps(said), TWO_TONES) == (kept, "mended")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 4) | st.floats(-1, 4) | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*EMPTY, "other"]), inner, max_size=5)
    ),
    max_leaves=30,
)


@settings(max_examples=50)
@given(st.lists(st.dictionaries(st.sampled_from([*EMPTY]), JSON), max_size=4) | JSON)
def test_whatever_is_said_becomes_legal_labels(said: Any) -> None:
    """GIVEN any JSON THEN the labels are legal, and reading them again changes nothing."""
    for trace in (TRACE, TWO_TONES):
        answer = read_answer(trace, json.dumps(said), "self")
        check_labels(trace, judging_space(trace), answer.labels)
        again = read_answer(trace, msgspec.json.encode(answer.labels.labels).decode(), "self")
        assert (again.state, again.labels) == ("legal", answer.labels)
