"""The benchmark's truth is causal, by generating answers again with units hidden."""

from __future__ import annotations

from pathlib import Path

from benchmarks.causal_truth import check, load, recorded, shares
from recorder.planted.hard import MODALITIES, make_hard

SEED = 20_777
AXES = ("near-duplicates", "two")


def test_hidden_causes_change_the_sentence_and_nothing_else_does(tmp_path: Path) -> None:
    samples = [make_hard(SEED, modality, axis) for modality in MODALITIES for axis in AXES]
    run, truths = recorded(samples, tmp_path)
    found = list(check(tmp_path, run, truths, load()))
    assert len({one.id for one in found}) >= 7, "nearly all answers are right"
    table = shares(found)["all"]
    assert table["causes"] >= 7
    assert table["others"] >= 25
    assert table["changed"] >= 0.95
    assert table["left"] >= 0.9  # labels of pictures and films count: few units, so few misses
