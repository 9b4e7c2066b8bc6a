"""Whisper for real, at toy size: words with their times, from the pipeline that users have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omnitrace import CommandError, OmniTraceError
from omnitrace.timeline import Medium
from recorder.config import TINY_OMNI, SegmentConfig
from recorder.segmenters import AudioClip, load_segmenter
from recorder.segmenters.whisper import words_of
from tests.recorder.conftest import MP4_SECONDS, WAV_SECONDS
from tests.recorder.tiny_whisper import SECONDS, write_tiny_whisper


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> SegmentConfig:
    path = write_tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny")
    return SegmentConfig(model=str(path), granularity="words", device="cpu")


@pytest.fixture
def speech(folder: Path) -> AudioClip:
    return AudioClip(Medium("audio", "speech.wav", "0" * 64), WAV_SECONDS, folder / "speech.wav")


def test_words_of_a_sound_longer_than_one_window(config: SegmentConfig, speech: AudioClip) -> None:
    assert speech.seconds > SECONDS
    found = load_segmenter("whisper", config).segments(speech)
    assert len(found) > 1
    assert all(text.strip() for text in found.text)
    assert 0 <= found.start_s[0] <= found.end_s[-1] <= WAV_SECONDS
    joined = load_segmenter("whisper", replace(config, granularity="sentences")).segments(speech)
    assert len(joined) <= len(found)
    assert "".join(joined.text) == "".join(found.text)


def test_the_sound_of_a_film(config: SegmentConfig, folder: Path) -> None:
    film = AudioClip(Medium("video", "film.mp4", "0" * 64), MP4_SECONDS, folder / "film.mp4")
    found = load_segmenter("whisper", config).segments(film)
    assert found.end_s.max(initial=0) <= MP4_SECONDS


def test_it_says_what_its_result_depends_on(config: SegmentConfig) -> None:
    made = load_segmenter("whisper", replace(config, language="en"))
    assert (made.name, made.needs_files) == ("whisper-words", True)
    assert made.about["model"] == "tiny"
    assert made.about["revision"].startswith("sha256:")
    assert (made.about["granularity"], made.about["language"]) == ("words", "en")


def test_an_unknown_language_is_the_samples_failure(
    config: SegmentConfig, speech: AudioClip
) -> None:
    with pytest.raises(OmniTraceError, match=r"cannot hear .*speech\.wav"):
        load_segmenter("whisper", replace(config, language="xx")).segments(speech)


def test_what_is_no_whisper_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not a Whisper checkpoint"):
        load_segmenter("whisper", SegmentConfig(model=str(TINY_OMNI)))
    with pytest.raises(CommandError, match="cannot load Whisper from"):
        load_segmenter("whisper", SegmentConfig(model=str(tmp_path)))


def test_times_stay_within_the_sound() -> None:
    heard: list[dict[str, Any]] = [
        {"text": "a", "timestamp": (0.0, 1.0)},
        {"text": "b", "timestamp": (1.0, None)},
        {"text": "c", "timestamp": (1.5, 9.0)},
        {"text": "d", "timestamp": (2.5, 3.0)},
        {"text": "e", "timestamp": (None, None)},
    ]
    assert list(words_of(heard, 2.0)) == [(0.0, 1.0, "a"), (1.0, 2.0, "b"), (1.5, 2.0, "c")]
