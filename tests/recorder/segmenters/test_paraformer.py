"""Paraformer against a double with the interface of FunASR, which itself is not tested here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from omnitrace import CommandError, OmniTraceError
from omnitrace.timeline import Medium
from recorder.config import SegmentConfig
from recorder.segmenters import RATE, AudioClip, Segmenter, load_segmenter
from tests.recorder.conftest import WAV_SECONDS

INFO = [
    {"text": "欢迎大家,", "start": 100, "end": 900, "spk": 0,
     "timestamp": [[100, 300], [300, 500], [500, 700], [700, 900]]},
    {"text": "来 open-source 社区.", "start": 900, "end": 2000,
     "timestamp": [[900, 1100], [1100, 1600], [1600, 1800], [1800, 2000]]},
    {"text": "好。", "start": 2100, "end": 2300, "timestamp": [[2100, 2300]]},
]  # fmt: skip


class AutoModel:
    """What FunASR's AutoModel is asked for here."""

    info: Any = INFO
    made: dict[str, Any]
    asked: dict[str, Any]

    def __init__(self, **given: Any) -> None:
        if given["model"] == "nothing":
            raise AssertionError("nothing is not registered")
        AutoModel.made = given

    def generate(self, **given: Any) -> Any:
        AutoModel.asked = given
        return [{"key": "x", "text": "…", "timestamp": [], "sentence_info": self.info}]


@pytest.fixture
def funasr(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("funasr")
    vars(module).update(AutoModel=AutoModel, __version__="1.2.0")
    monkeypatch.setitem(sys.modules, "funasr", module)
    monkeypatch.delitem(sys.modules, "recorder.segmenters.paraformer", raising=False)


@pytest.fixture
def speech(folder: Path) -> AudioClip:
    return AudioClip(Medium("audio", "speech.wav", "0" * 64), WAV_SECONDS, folder / "speech.wav")


def paraformer(granularity: str = "words", model: str = "") -> Segmenter:
    config = SegmentConfig(granularity=granularity, model=model, device="cpu")
    return load_segmenter("paraformer", config)


@pytest.mark.usefixtures("funasr")
def test_it_is_asked_as_its_guide_says(speech: AudioClip) -> None:
    made = paraformer()
    made.segments(speech)
    assert AutoModel.made == {
        "model": "paraformer-zh", "vad_model": "fsmn-vad", "punc_model": "ct-punc",
        "device": "cpu", "disable_update": True,
    }  # fmt: skip
    assert AutoModel.asked["sentence_timestamp"] is True
    assert AutoModel.asked["input"].dtype == "float32"
    assert len(AutoModel.asked["input"]) == pytest.approx(WAV_SECONDS * RATE, abs=2)
    assert made.about == {
        "segmenter": "paraformer", "model": "paraformer-zh", "granularity": "words",
        "funasr": "1.2.0",
    }  # fmt: skip


@pytest.mark.usefixtures("funasr")
def test_words_are_characters_and_latin_words(speech: AudioClip) -> None:
    found = paraformer().segments(speech)
    assert found.text == ("欢", "迎", "大", "家", "来", "open-source", "社", "区", "好")
    assert found.start_s[[0, 5]].tolist() == [0.1, 1.1]
    assert found.end_s[-1] == 2.3


@pytest.mark.usefixtures("funasr")
def test_sentences_go_to_the_full_stop(speech: AudioClip) -> None:
    found = paraformer("sentences").segments(speech)
    assert found.text == ("欢迎大家,来 open-source 社区.", "好。")
    assert (found.start_s.tolist(), found.end_s.tolist()) == ([0.1, 2.1], [2.0, 2.3])


@pytest.mark.usefixtures("funasr")
@pytest.mark.parametrize(
    ("info", "says"),
    [
        ([INFO[0] | {"timestamp": [[0, 1]]}], "timed 1 words of '欢迎大家,', which has 4"),
        ([INFO[0] | {"start": "soon"}], "Expected `float`"),
        (None, "Expected `array`"),
        ([INFO[2] | {"timestamp": [[2300, 2100]]}], "times that are none"),
    ],
)
def test_a_strange_answer_is_the_samples_failure(
    speech: AudioClip, monkeypatch: pytest.MonkeyPatch, info: Any, says: str
) -> None:
    monkeypatch.setattr(AutoModel, "info", info)
    with pytest.raises(OmniTraceError, match=says):
        paraformer().segments(speech)


@pytest.mark.usefixtures("funasr")
def test_an_unknown_model_is_wrong_use(speech: AudioClip) -> None:
    with pytest.raises(CommandError, match="cannot load 'nothing' with FunASR: nothing is not"):
        paraformer(model="nothing").segments(speech)
