"""Hard planted samples: always the same, hard in the way that they say, true to what they show."""

from __future__ import annotations

import pytest

from recorder.planted.hard import AXES, MODALITIES, make_hard
from recorder.planted.samples import PlantedSample

CELLS = [(modality, axis) for modality in MODALITIES for axis in AXES]


def texts_of(sample: PlantedSample) -> list[str]:
    [message] = sample.messages
    return [part.get("text", "") for part in message["content"]]


@pytest.mark.parametrize(("modality", "axis"), CELLS)
def test_evidence_lies_where_it_is_said_to_lie(modality: str, axis: str) -> None:
    for seed in range(6):
        sample = make_hard(seed, modality, axis)
        assert sample.id == f"{modality}-{axis}-{seed}"
        parts = sample.messages[0]["content"]
        [sentence] = sample.sentences
        assert len(sentence.evidence) == {"absent": 0, "two": 2}.get(axis, 1)
        for one in sentence.evidence:
            part = parts[one.part]
            assert part["type"] == modality
            if one.text is not None:
                assert one.text in part["text"]
        assert len({(e.part, e.text) for e in sentence.evidence}) == len(sentence.evidence)


def test_the_same_seed_gives_the_same_sample_and_others_differ() -> None:
    one, two = (make_hard(5, "text", "units") for _ in range(2))
    assert one.messages == two.messages
    assert make_hard(6, "text", "units").messages != one.messages


@pytest.mark.parametrize("modality", MODALITIES)
def test_axes_are_what_they_say(modality: str) -> None:
    plain, distracted = (make_hard(3, modality, axis) for axis in ("plain", "distractors"))
    assert len(" ".join(texts_of(distracted))) > len(" ".join(texts_of(plain)))
    duplicates = make_hard(3, modality, "near-duplicates")
    assert len(duplicates.sentences) == 1
    if modality == "text":
        assert len(distracted.media) == 2
    else:
        count = {"image": 3, "audio": 2, "video": 2}[modality]
        assert len(duplicates.media) == count
        assert len(make_hard(3, modality, "two").media) > len(plain.media)


def test_unknown_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="no planted samples"):
        make_hard(0, "smell", "plain")
