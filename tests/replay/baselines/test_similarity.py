"""Similarities: which chunks are compared, and the labels that thresholds make of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.chunks import cosines
from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Modality
from replay.baselines.random import RandomMatch
from replay.baselines.run import compare, kept_similarity
from replay.baselines.similarity import chunks_of, same_threshold, similarity
from replay.evaluation import MODALITIES, judging_space
from replay.evaluation.labels import gold_of_labels
from tests.build import make_trace

TRACE = make_trace()
SPACE = judging_space(TRACE)
SHAPE = len(TRACE.sentences), len(SPACE)


def test_chunks_are_the_sentences_and_the_images() -> None:
    chunks, line = chunks_of(TRACE), TRACE.timeline
    words = line.modality == Modality.TEXT
    assert (chunks.owner[words] == SPACE.of_token[words]).all()
    image = np.flatnonzero(SPACE.kind == Modality.IMAGE)
    assert np.unique(chunks.owner[line.modality == Modality.IMAGE]).tolist() == image.tolist()
    assert (chunks.owner[~words & (line.modality != Modality.IMAGE)] == -1).all()
    assert chunks.comparable.tolist() == (SPACE.kind < Modality.AUDIO).tolist()
    assert chunks.steps.tolist() == [[0, 6], [6, 12], [12, 16]]


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_cosines_are_the_plain_ones(k: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(-2, 3, (count, 3)).astype(np.float64) for count in (k, m))
    found = cosines(a, b)
    for i, j in np.ndindex(k, m):
        scale = math.sqrt(sum(a[i] ** 2)) * math.sqrt(sum(b[j] ** 2))
        plain = sum(a[i] * b[j]) / scale if scale else 0.0
        assert found[i, j] == pytest.approx(plain)


LEAST = st.floats(0, 1).map(lambda value: round(value, 2))


@given(st.integers(0, 2**32 - 1), st.fixed_dictionaries(dict.fromkeys(MODALITIES, LEAST)))
def test_labels_say_what_thresholds_keep(seed: int, thresholds: dict[str, float]) -> None:
    """GIVEN any similarities THEN their labels, read as gold, are the pairs that are kept."""
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(SHAPE) < 0.2, np.nan, rng.random(SHAPE).round(2))
    one = similarity(TRACE, values)
    found = one.pairs(thresholds)
    for row, label in np.ndindex(SHAPE):
        least = thresholds[MODALITIES[SPACE.kind[label]]]
        assert found[row, label] == (values[row, label] >= least)
    labels = one.labels(thresholds, "me")
    gold = gold_of_labels(TRACE, labels)
    spoken = one.compared[SPACE.kind]
    assert gold.true.tolist() == (found & spoken).tolist()
    assert gold.scored.tolist() == one.compared.tolist()
    assert (labels.labeller, labels.sentences) == ("me", tuple(_said()))


def _said() -> list[str]:
    return [TRACE.response[start:end] for start, end in TRACE.sentences.tolist()]


def test_what_is_not_compared_is_not_spoken_of() -> None:
    drawn = similarity(TRACE, RandomMatch().similarities(TRACE, chunks_of(TRACE)))
    assert drawn.compared.tolist() == [True, True, False, False]
    labels = drawn.labels(same_threshold(0.0), "").labels[0]
    assert set(labels.lists) == {"text_source", "image_source"}
    assert labels.text_source == (0, 1, 2)


def test_random_draws_belong_to_the_sample() -> None:
    chunks = chunks_of(TRACE)
    first = RandomMatch(1).similarities(TRACE, chunks)
    assert np.array_equal(first, RandomMatch(1).similarities(TRACE, chunks), equal_nan=True)
    other = replace(TRACE, id="sample-1")
    for drawn in (
        RandomMatch(2).similarities(TRACE, chunks),
        RandomMatch(1).similarities(other, chunks),
    ):
        assert not np.array_equal(first, drawn, equal_nan=True)
    assert np.isnan(first[:, ~chunks.comparable]).all()
    with_time = RandomMatch(1, time=True).similarities(TRACE, chunks)
    assert similarity(TRACE, with_time).compared.all()
    assert (with_time[:, chunks.comparable] == first[:, chunks.comparable]).all()


def test_random_draws_are_even() -> None:
    many = [replace(TRACE, id=str(number)) for number in range(200)]
    chunks = chunks_of(TRACE)
    drawn = np.stack([RandomMatch(0, True).similarities(one, chunks) for one in many])
    for least in (0.25, 0.5, 0.9):  # 5,400 draws: four standard deviations are under 0.03
        assert (drawn >= least).mean() == pytest.approx(1 - least, abs=0.03)


def test_what_is_kept_gives_the_same_again() -> None:
    data = compare(RandomMatch(), TRACE)
    fresh = similarity(TRACE, RandomMatch().similarities(TRACE, chunks_of(TRACE)))
    assert np.array_equal(kept_similarity(TRACE, data).values, fresh.values, equal_nan=True)
    with pytest.raises(OmniTraceError, match="is not 3 by 9 similarities"):
        kept_similarity(TRACE, data[1:])
