"""Heads chosen by labels: scores against a literal sum, the head that looks, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omnitrace.config import build
from omnitrace.errors import CommandError
from omnitrace.trace import Trace
from replay import PRESETS
from replay.evaluation import Gold
from replay.evaluation.labels import Labels, Supports, gold_of_labels
from replay.methods import AttributionTask
from replay.methods.learn import as_config
from replay.methods.retrieval_heads import learn_from_labels, looks_of
from tests.replay.faithfulness.made import NO_REQUEST, ablated
from tests.replay.methods.test_learn import SHAPE, with_heads


def gold_of(trace: Trace, sentence: int = 0, medium: str = "text") -> Gold:
    """Every sentence of the response is supported by one text sentence, or by image 0."""
    one = Supports(text_source=(sentence,)) if medium == "text" else Supports(image_source=(0,))
    return gold_of_labels(trace, Labels(trace.id, (one,) * len(trace.sentences)))


def made(seed: int) -> AttributionTask:
    """Six random heads, of which the fourth from 0 looks at unit 1 alone."""
    return with_heads(ablated(), seed)


def unit_of_label(task: AttributionTask, gold: Gold) -> int:
    """The unit that the gold's first sentence names."""
    return int(np.flatnonzero(gold.space.claims(task.units) @ gold.true[0])[0])


def label_of_unit(task: AttributionTask, unit: int) -> int:
    """The text sentence that a unit holds."""
    gold = gold_of(task.trace)
    return int(np.flatnonzero(gold.space.claims(task.units)[unit])[0])


def test_masses_are_sums_over_units_and_means_over_steps() -> None:
    task = made(0)
    gold = gold_of(task.trace)
    found = looks_of(task, gold)
    mass = task.trace.heads().mass.reshape(6, task.trace.T, -1)
    assert len(found) == len(task.trace.sentences)
    for looks, (start, end) in zip(found, gold.steps.tolist(), strict=True):
        for head in range(6):
            for unit in range(len(task.units)):
                literal = float(np.mean([mass[head][t, unit] for t in range(start, end)]))
                assert looks.mass[head, unit] == pytest.approx(literal)
        assert np.flatnonzero(looks.gold).tolist() == [unit_of_label(task, gold)]


def test_the_head_that_looks_is_chosen_and_replays() -> None:
    tasks = {str(seed): made(seed) for seed in range(3)}
    run = {id: replace(task.trace, id=id) for id, task in tasks.items()}
    kind = made(0).units.modality[1]
    medium = "text" if kind == 0 else "image"
    number = label_of_unit(made(0), 1) if medium == "text" else 0

    def labelled(trace: Trace) -> tuple[AttributionTask, Gold]:
        return AttributionTask(trace, NO_REQUEST), gold_of(trace, number, medium)

    failed: dict[str, str] = {}
    found = learn_from_labels(run, run, labelled, failed, keep=1)
    assert (found.samples, failed) == (3, {})
    assert found.weights.shape == SHAPE
    assert np.flatnonzero(found.weights).tolist() == [4]
    assert found.after == 1.0
    assert found.before <= found.after
    config = as_config(found, NO_REQUEST)
    assert config.heads == "1.1:1.00000"
    build(PRESETS["default"], {"heads": config.heads}, "test")
    three = learn_from_labels(run, run, labelled, {}, keep=3)
    assert np.unique(three.weights).tolist() == pytest.approx([0, 1 / 3])
    assert three.weights.reshape(-1)[4] > 0
    everything = learn_from_labels(run, run, labelled, {}, keep=99)
    np.testing.assert_allclose(everything.weights, 1 / 6)


def test_evidence_of_another_modality_does_not_count() -> None:
    trace = made(0).trace

    def labelled(trace: Trace) -> tuple[AttributionTask, Gold]:
        return AttributionTask(trace, NO_REQUEST), gold_of(trace)

    with pytest.raises(CommandError, match="no sentence has evidence in audio"):
        learn_from_labels({"a": trace}, ["a"], labelled, {}, modality="audio")
    assert learn_from_labels({"a": trace}, ["a"], labelled, {}, modality="text").spans > 0
    with pytest.raises(CommandError, match="--level heads"):
        learn_from_labels({"a": ablated().trace}, ["a"], labelled, {})
