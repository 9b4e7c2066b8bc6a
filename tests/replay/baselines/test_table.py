"""Signals and baselines side by side: the same samples and labels, × where nothing is said."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from replay import PRESETS, attribute
from replay.baselines.random import RandomMatch
from replay.baselines.similarity import chunks_of, same_threshold, similarity
from replay.baselines.table import compare_methods
from replay.evaluation import evaluate, gold_of_truth, score
from replay.evaluation.labels import write_labels
from replay.evaluation.sources import GoldFile, read_golds
from tests.build import make_trace
from tests.replay.evaluation.truths import THE_TRUTH

RUN = {id: make_trace(id, seed) for seed, id in enumerate(("a", "b", "c", "d"))}
CONFIGS = {name: PRESETS[name] for name in ("default", "release")}


@pytest.fixture
def golds(tmp_path: Path) -> GoldFile:
    """The truth of all but `d`."""
    rows = [msgspec.structs.replace(THE_TRUTH, id=id) for id in "abc"]
    path = tmp_path / "truth.jsonl"
    path.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    return read_golds(path)


@pytest.fixture
def random(tmp_path: Path) -> GoldFile:
    """Predictions for all but `a`."""
    found = [similarity(t, RandomMatch().similarities(t, chunks_of(t))) for t in RUN.values()]
    path = tmp_path / "random.jsonl"
    write_labels(path, [one.labels(same_threshold(0.5), "random") for one in found[1:]])
    return read_golds(path)


def test_methods_are_judged_on_the_samples_of_all(golds: GoldFile, random: GoldFile) -> None:
    found = compare_methods(RUN, golds, CONFIGS, {"random": random})
    assert list(found) == ["default", "release", "random"]
    assert all([j.id for j in judged] == ["b", "c"] for judged in found.values())
    truths = {id: gold_of_truth(RUN[id], THE_TRUTH) for id in "bc"}
    for name, config in CONFIGS.items():
        alone = evaluate([attribute(RUN[id], config) for id in "bc"], truths)
        assert score(found[name]) == alone
    spans = {name: one.spans for name, one in score(found["random"]).micro.items()}
    assert spans == {"text": 6, "image": 6, "audio": 0, "video": 0, "all": 6}


def test_without_predictions_all_labelled_samples_count(golds: GoldFile) -> None:
    [judged] = compare_methods(RUN, golds, {"one": PRESETS["paper"]}, {}).values()
    assert [j.id for j in judged] == ["a", "b", "c"]
