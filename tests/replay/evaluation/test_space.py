"""The judging space: its labels, and which of them a unit claims."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Medium, Modality
from omnitrace.units import UnitConfig, Units
from replay.chunk import chunk
from replay.evaluation import judging_space
from replay.evaluation.gold import steps_of_sentences
from tests.build import make_trace
from tests.replay.evaluation.truths import with_media

CONFIGS = [
    UnitConfig(),
    UnitConfig(text="part"),
    UnitConfig(text="release", video="apart"),
    UnitConfig(image="grid", grid=2, audio_seconds=0.5, video_seconds=0.7),
    UnitConfig(audio_seconds=2.0, video_seconds=100.0),
]


def test_labels_are_sentences_images_and_bins() -> None:
    space = judging_space(make_trace())
    kinds = [Modality(int(kind)).label for kind in space.kind]
    assert kinds == ["text"] * 3 + ["image"] + ["audio"] * 3 + ["video"] * 2
    assert space.medium.tolist() == [-1, -1, -1, 0, 1, 1, 1, 2, 2]
    assert space.start_s[4:].tolist() == [0, 1, 2, 0, 1]
    assert space.texts == 3
    assert space.present.all()


def test_bins_reach_the_end_of_their_medium() -> None:
    trace = make_trace()
    image, audio, video = trace.media
    for duration, seconds, bins in [(3.0, 2.0, 2), (3.2, 1.0, 4), (None, 1.0, 3), (0.0, 1.0, 1)]:
        media = (image, replace(audio, duration_s=duration), video)
        space = judging_space(replace(trace, media=media), seconds)
        assert np.count_nonzero(space.kind == Modality.AUDIO) == bins
    endless = replace(trace, media=(image, replace(audio, duration_s=1e12), video))
    with pytest.raises(OmniTraceError, match="Choose longer ones"):
        judging_space(endless)


def test_a_prompt_of_nothing_has_no_labels() -> None:
    trace = make_trace()
    space = judging_space(
        replace(with_media(trace, 0), prompt_sentences=np.empty((0, 2), np.int32))
    )
    assert len(space) == 0
    assert space.present.tolist() == [True, False, False, False]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("seconds", [1.0, 0.3])
def test_claims_equal_the_definition(config: UnitConfig, seconds: float) -> None:
    trace = make_trace()
    units, space = trace.units(config), judging_space(trace, seconds)
    claims = space.claims(units)
    sentences = trace.units(UnitConfig())
    text = np.flatnonzero(sentences.modality == Modality.TEXT)
    for unit in range(len(units)):
        medium = int(units.medium[unit])
        expected = []
        for label in range(len(space)):
            if space.kind[label] == Modality.TEXT:
                mine, its = (tokens(of, j) for of, j in ((units, unit), (sentences, text[label])))
                expected.append(bool(mine & its))
            elif space.kind[label] == Modality.IMAGE:
                expected.append(medium == space.medium[label])
            else:
                bins = range(
                    floor(units.start_s[unit] / seconds + 1e-6) if medium > 0 else 0,
                    ceil(units.end_s[unit] / seconds - 1e-6) if medium > 0 else 0,
                )
                number = round(space.start_s[label] / seconds)
                expected.append(medium == space.medium[label] and number in bins)
        assert claims[unit].tolist() == expected, units.id[unit]


def tokens(units: Units, unit: int) -> set[int]:
    ranges = units.ranges[units.offset[unit] : units.offset[unit + 1]].tolist()
    return {token for start, end in ranges for token in range(start, end)}


@given(st.floats(0, 3), st.floats(0, 3), st.sampled_from([1.0, 0.5, 2.0]))
def test_a_stretch_reaches_the_bins_that_it_overlaps(a: float, b: float, seconds: float) -> None:
    space = judging_space(make_trace(), seconds)
    start, end = min(a, b), max(a, b)
    reached = space.stretch(1, start, end)
    assert set(space.medium[reached]) <= {1}
    got = {round(s / seconds) for s in space.start_s[reached]}
    assert got == set(range(floor((start + 1e-6) / seconds), ceil((end - 1e-6) / seconds)))
    assert space.stretch(1).sum() == np.count_nonzero(space.medium == 1)


def test_steps_of_sentences_are_those_of_the_sentence_chunker() -> None:
    trace = make_trace()
    spans = [list(piece.steps) for piece in chunk(trace, "sentence")]
    assert steps_of_sentences(trace).tolist() == spans
    # One step says the end of the first sentence, the second, and the beginning of the third.
    chars = trace.chars.copy()
    chars[5, 1] = chars[12, 0]
    merged = replace(trace, chars=np.delete(chars, range(6, 12), axis=0))
    assert steps_of_sentences(merged).tolist() == [[0, 6], [5, 6], [6, len(merged.chars)]]
    silent = replace(trace, chars=trace.chars[:0])
    assert steps_of_sentences(silent).tolist() == [[0, 0]] * 3


def test_media_without_tokens_keep_their_labels() -> None:
    trace = make_trace()
    more = (*trace.media, Medium("image", "unseen.png", "3" * 64))
    space = judging_space(replace(trace, media=more))
    assert space.medium[-1] == 3
    assert not space.claims(trace.units(UnitConfig()))[:, -1].any()
