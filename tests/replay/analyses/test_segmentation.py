"""Segmentations are scored as `evaluate` scores them; a sample that lacks one is left out."""

from __future__ import annotations

from dataclasses import replace

from omnitrace.timeline import Segmentation, Segments
from replay import PRESETS, attribute
from replay.analyses.segmentation import RAW, segmentation, segmentations
from replay.evaluation import evaluate
from replay.evaluation.gold import gold_of_truth
from tests.build import make_trace
from tests.replay.analyses.golds import FACT, PICTURE, TONE, truth_of

CONFIG = replace(PRESETS["paper"], reduce="mean")
SPOKEN = Segmentation("spoken", {1: Segments.of([(0.0, 1.5, "a"), (1.5, 3.0, "b")])})
IDS = ("sample-0", "sample-1", "sample-2")
TRACES = {
    id: replace(make_trace(id, seed), segmentations={"spoken": SPOKEN} if seed else {})
    for seed, id in enumerate(IDS)
}
GOLDS = {
    id: gold_of_truth(trace, truth_of((FACT,), (PICTURE,), (TONE,), id=id))
    for id, trace in TRACES.items()
}


def test_scores_are_those_of_evaluate() -> None:
    result = segmentation(TRACES.values(), CONFIG, GOLDS, ["spoken"])
    assert result.names == (RAW, "0.5 s bins", "1 s bins", "2 s bins", "5 s bins", "spoken")
    assert not result.empty
    for name, config in segmentations(CONFIG, ["spoken"]).items():
        ids = IDS[1:] if name == "spoken" else IDS
        expected = evaluate([attribute(TRACES[id], config) for id in ids], GOLDS)
        row = result.names.index(name)
        assert result.micro[row].f1 == expected.micro["audio"].f1
        assert result.macro[row].f1 == expected.macro["audio"].f1
        assert result.micro[row].spans == 3 * len(ids)


def test_the_length_that_was_chosen_is_among_the_bins() -> None:
    config = replace(CONFIG, units=replace(CONFIG.units, audio_seconds=0.8))
    assert "0.8 s bins" in segmentations(config, [])


def test_samples_without_a_gold_are_passed_over() -> None:
    assert segmentation(TRACES.values(), CONFIG, {}).empty
    assert segmentation([], CONFIG, GOLDS).empty
