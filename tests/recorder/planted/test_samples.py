"""Planted samples: the same from the same seed, true to what their files show, never given away."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.inputs import media
from recorder.planted import media as planted_media
from recorder.planted import samples as planted
from recorder.planted import text as planted_text
from recorder.planted.media import Audio, AudioSpec, Image, ImageSpec, Video, VideoSpec
from recorder.planted.samples import KINDS, SPLITS, Plan, make_plan, make_sample, write_samples

RATE = 16_000
seeds = st.integers(0, SPLITS["train"].stop)
kinds = st.sampled_from(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_a_sample(kind: str) -> None:
    one, again, other = (make_sample(seed, kind) for seed in (7, 7, 8))
    assert (one.id, one.messages, one.sentences) == (again.id, again.messages, again.sentences)
    assert one.messages != other.messages
    for name, medium in one.media.items():
        same = zip(_arrays(medium), _arrays(again.media[name]), strict=True)
        assert all(np.array_equal(a, b) for a, b in same)


def _arrays(medium: Image | Audio | Video) -> list[npt.NDArray[Any]]:
    if isinstance(medium, Image):
        return [medium.pixels]
    if isinstance(medium, Audio):
        return [medium.samples]
    return [medium.frames, *(_arrays(medium.audio) if medium.audio else [])]


def test_no_seed_is_in_two_splits() -> None:
    for one, other in combinations(SPLITS.values(), 2):
        assert one.stop <= other.start or other.stop <= one.start
    assert set(SPLITS) == {"demo", "choose", "test", "confirm", "train"}


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="'smell'; legal are text, image"):
        make_sample(0, "smell")


@settings(max_examples=300, deadline=None)
@given(seeds, kinds)
def test_every_sentence_has_one_cause_or_none(seed: int, kind: str) -> None:
    plan = make_plan(seed, kind)
    answer = planted_text.answer(plan.questions, plan.facts)
    assert 1 <= len(answer) <= 9
    assert len({text for text, _ in answer}) == len(answer)
    for text, causes in answer:
        assert len(causes) == (0 if text.startswith(("No", "Nothing", "Nobody")) else 1)


@settings(max_examples=300, deadline=None)
@given(seeds, kinds)
def test_text_evidence_stands_once_in_its_part(seed: int, kind: str) -> None:
    plan = make_plan(seed, kind)
    prompt = "\n".join(part for part in plan.parts if isinstance(part, str))
    for fact in plan.facts:
        if fact.text is not None:
            assert prompt.count(fact.text) == 1
            assert fact.text in str(plan.parts[fact.part])


@settings(max_examples=300, deadline=None)
@given(seeds, kinds)
def test_the_request_gives_no_answer_away(seed: int, kind: str) -> None:
    """No value (a weight, a colour, a second ...) of a caused sentence stands in the request."""
    plan = make_plan(seed, kind)
    values = {v for a in planted_text.ATTRIBUTES for v in a.values}
    values |= set(planted_text.COLOURS) | set(planted_text.SECONDS)
    request = str(plan.parts[-1]).rstrip(".?").split()
    assert not values & {word.strip(".,?") for word in request}


@settings(max_examples=200, deadline=None)
@given(seeds, kinds)
def test_new_questions_are_about_the_same_facts(seed: int, kind: str) -> None:
    plan = make_plan(seed, kind)
    anew = planted.ask_differently(plan, seed + 1)
    assert anew.parts[:-1] == plan.parts[:-1]
    assert anew.facts == plan.facts


@settings(max_examples=100, deadline=None)
@given(seeds)
def test_kinds_hold_their_media(seed: int) -> None:
    assert _sorts(make_plan(seed, "text")) == set()
    assert _sorts(make_plan(seed, "image")) == {ImageSpec}
    assert _sorts(make_plan(seed, "audio")) == {AudioSpec}
    assert len(_sorts(make_plan(seed, "mixed"))) >= 2
    for kind, has_audio in (("video", True), ("video-silent", False)):
        videos = [p for p in make_plan(seed, kind).parts if isinstance(p, VideoSpec)]
        assert videos
        assert all(bool(video.tones) == has_audio for video in videos)


def _sorts(plan: Plan) -> set[type]:
    return {type(part) for part in plan.parts} - {str}


def test_hidden_facts_turn_into_not_told() -> None:
    plan = make_plan(3, "image")
    known = planted_text.answer(plan.questions, ())
    assert [text for text, _ in known] == [question.absent for question in plan.questions]


# What the files show.


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    write_samples([make_sample(seed, kind) for kind in KINDS for seed in range(5)], folder)
    return folder


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_samples_and_truth_are_written_side_by_side(written: Path) -> None:
    samples, truth = _rows(written / "samples.jsonl"), _rows(written / "truth.jsonl")
    assert [s["id"] for s in samples] == [t["id"] for t in truth]
    for sample, true in zip(samples, truth, strict=True):
        assert true["answer"] == " ".join(s["text"] for s in true["sentences"])
        parts = [part for m in sample["messages"] for part in m["content"]]
        for part in parts:
            assert part["type"] == "text" or (written / part[part["type"]]).is_file()
        for sentence in true["sentences"]:
            for evidence in sentence["evidence"]:
                _check_part(sentence["text"], evidence, parts[evidence["part"]])


def _check_part(sentence: str, evidence: dict[str, Any], part: dict[str, Any]) -> None:
    if " is drawn " in sentence:
        assert part["type"] == "image"
    elif " moves " in sentence:
        assert (part["type"], evidence["stream"]) == ("video", "vision")
    elif " tone " in sentence:
        assert part["type"] == ("video" if evidence["stream"] == "sound" else "audio")
        assert planted_text.SECONDS[int(evidence["start_s"])] in sentence
    else:
        assert evidence["text"] in part["text"]


def _plans(kind: str) -> list[tuple[Plan, dict[int, str]]]:
    plans = [make_plan(seed, kind) for seed in range(5)]
    return [(plan, planted.media_names(plan)) for plan in plans]


def test_pictures_show_their_colour_at_their_place(written: Path) -> None:
    for plan, names in _plans("image"):
        for index, name in names.items():
            spec = plan.parts[index]
            assert isinstance(spec, ImageSpec)
            image = media.load_image(written / "media" / f"{plan.id}-{name}.png")
            x, y = _centre(np.asarray(image), spec.colour)
            wanted = planted_media.CENTRES[spec.place]
            assert (x, y) == pytest.approx(wanted, abs=0.12)


def _centre(pixels: npt.NDArray[np.uint8], colour: str) -> tuple[float, float]:
    """Where the pixels of a colour are, as shares of width and height."""
    distance = np.abs(pixels.astype(int) - planted_media.RGB[colour]).sum(axis=-1)
    rows, columns = np.nonzero(distance < 90)
    assert len(rows) > 50
    return columns.mean() / pixels.shape[1], rows.mean() / pixels.shape[0]


def test_recordings_sound_in_the_said_seconds_only(written: Path) -> None:
    for plan, names in _plans("audio"):
        for index, name in names.items():
            spec = plan.parts[index]
            assert isinstance(spec, AudioSpec)
            audio = media.load_audio(written / "media" / f"{plan.id}-{name}.wav", RATE)
            assert len(audio) == spec.seconds * RATE
            _check_tones(audio, spec.tones, spec.seconds)


def _check_tones(
    audio: npt.NDArray[np.float32], tones: tuple[tuple[str, int], ...], seconds: int
) -> None:
    loud = {s for s in range(seconds) if np.abs(audio[s * RATE : (s + 1) * RATE]).max() > 0.1}
    assert loud == {second for _, second in tones}
    for pitch, second in tones:
        if pitch in planted_media.HERTZ:
            wanted = planted_media.HERTZ[pitch]
            heard = audio[second * RATE : (second + 1) * RATE]
            strongest = int(np.argmax(np.abs(np.fft.rfft(heard))))  # bins are 1 Hz apart
            assert strongest == pytest.approx(wanted, rel=0.07)


def test_films_move_and_sound_as_told(written: Path) -> None:
    for kind in ("video", "video-silent"):
        for plan, names in _plans(kind):
            for index, name in names.items():
                spec = plan.parts[index]
                assert isinstance(spec, VideoSpec)
                video = media.load_video(written / "media" / f"{plan.id}-{name}.mp4", 2.0, RATE)
                assert len(video.frames) == 2 * spec.seconds
                _check_motion(video.frames, spec)
                assert (video.audio is not None) == bool(spec.tones)
                if video.audio is not None:
                    # AAC fills its last block of 1024 samples.
                    assert 0 <= len(video.audio) - spec.seconds * RATE < 1024
                    _check_tones(video.audio, spec.tones, spec.seconds)


def _check_motion(frames: npt.NDArray[np.uint8], spec: VideoSpec) -> None:
    for scene, (_, colour, direction) in enumerate(spec.scenes):
        first, last = (_centre(frames[4 * scene + at], colour) for at in (0, 3))
        moved = np.subtract(last, first)
        wanted = planted_media.MOVES[direction]
        assert np.sign(np.where(np.abs(moved) > 0.15, moved, 0)).tolist() == list(wanted)
