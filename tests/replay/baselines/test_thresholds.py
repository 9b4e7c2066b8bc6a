"""Thresholds: chosen on one half, reported on the other, modality by modality."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from omnitrace import CommandError, OmniTraceError
from omnitrace.timeline import Modality
from replay.baselines.similarity import Similarity, same_threshold, similarity
from replay.baselines.thresholds import parse_thresholds, scores_at, sweep
from replay.evaluation import gold_of_truth
from replay.sweep.sweep import split
from tests.build import make_trace
from tests.replay.evaluation.truths import THE_TRUTH

THRESHOLDS = [0.8, 0.0, 0.2, 0.4, 0.6, 1.0]
TRACES = [make_trace(f"sample-{number}") for number in range(24)]
GOLDS = {t.id: gold_of_truth(t, msgspec.structs.replace(THE_TRUTH, id=t.id)) for t in TRACES}


def similar(seed: int, text: float, image: float) -> list[Similarity]:
    """Noise, in which true pairs of text and image are mostly above these numbers."""
    rng, made = np.random.default_rng(seed), []
    for trace in TRACES:
        gold = GOLDS[trace.id]
        noise = rng.random(gold.true.shape)
        kind = gold.space.kind
        least = np.where(kind == Modality.TEXT, text, image)
        values = np.where(gold.true, least + (1 - least) * noise, least * noise)
        made.append(similarity(trace, np.where(kind < Modality.AUDIO, values, np.nan)))
    return made


def halves(found: list[Similarity]) -> tuple[list[Similarity], list[Similarity]]:
    choose, report = split([one.trace.id for one in found], 0.5)
    return (
        [one for one in found if one.trace.id in choose],
        [one for one in found if one.trace.id in report],
    )


def plain_f1(found: list[Similarity], modality: Modality, threshold: float) -> float:
    """Pooled, by a loop over every pair."""
    right = kept = true = 0
    for one in found:
        gold = GOLDS[one.trace.id]
        for row, label in np.argwhere(
            np.broadcast_to(gold.space.kind == modality, gold.true.shape)
        ):
            is_kept = one.values[row, label] >= threshold
            right += bool(is_kept and gold.true[row, label])
            kept += bool(is_kept)
            true += bool(gold.true[row, label])
    return 2 * right / (kept + true) if kept + true else 1.0


@pytest.mark.parametrize("seed", range(3))
def test_a_threshold_is_chosen_for_each_modality(seed: int) -> None:
    found = similar(seed, text=0.6, image=0.2)
    made = sweep(found, GOLDS, THRESHOLDS, draws=10)
    choose, report = halves(found)
    assert len(choose) + len(report) == 24
    assert min(len(choose), len(report)) > 5
    for name, modality in (("text", Modality.TEXT), ("image", Modality.IMAGE)):
        plain = {t: plain_f1(choose, modality, t) for t in THRESHOLDS}
        for threshold, scores in made.by_threshold.items():
            assert scores.micro[name].f1 == pytest.approx(plain[threshold])
        best = min(t for t in THRESHOLDS if plain[t] == max(plain.values()))
        assert made.chosen[name] == best
        assert made.held_out.micro[name].f1 == pytest.approx(plain_f1(report, modality, best))
    assert (made.chosen["text"], made.chosen["image"]) == (0.6, 0.2)
    assert list(made.by_threshold) == sorted(THRESHOLDS)
    assert made.held_out.micro["text"].f1_interval is not None
    assert made.held_out.micro["audio"].spans == 0


def test_the_reported_half_has_no_say() -> None:
    """GIVEN other similarities in the reported half THEN the choice is the same."""
    one, two = similar(0, 0.6, 0.2), similar(1, 0.2, 0.8)
    held = {other.trace.id for other in halves(two)[1]}
    mixed = [b if a.trace.id in held else a for a, b in zip(one, two, strict=True)]
    first, second = (sweep(found, GOLDS, THRESHOLDS) for found in (one, mixed))
    assert first.chosen == second.chosen
    assert first.held_out != second.held_out


def test_samples_without_a_gold_are_passed_over() -> None:
    found = similar(0, 0.6, 0.2)
    some = {id: GOLDS[id] for id in list(GOLDS)[:12]}
    made = sweep(found, some, THRESHOLDS)
    assert made.by_threshold[0.0].samples + made.held_out.samples == 12


@pytest.mark.parametrize(("count", "says"), [(0, "no sample of the run"), (1, "one sample alone")])
def test_a_half_must_not_be_empty(count: int, says: str) -> None:
    some = {id: GOLDS[id] for id in list(GOLDS)[:count]}
    with pytest.raises(OmniTraceError, match=says):
        sweep(similar(0, 0.5, 0.5), some, THRESHOLDS)


def test_what_a_baseline_does_not_compare_is_not_scored() -> None:
    scores = scores_at(similar(0, 0.5, 0.5), GOLDS, same_threshold(0.5))
    spans = {name: one.spans for name, one in scores.micro.items()}
    assert spans == {"text": 72, "image": 72, "audio": 0, "video": 0, "all": 72}


@pytest.mark.parametrize(
    ("text", "thresholds"),
    [
        ("0:1:0.25", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("-0.1:0.3:0.2", [-0.1, 0.1, 0.3]),
        ("0.25", [0.25]),
        ("0.3,0.1", [0.3, 0.1]),
    ],
)
def test_thresholds_are_read(text: str, thresholds: list[float]) -> None:
    assert parse_thresholds(text) == thresholds


@pytest.mark.parametrize(
    "text", ["", "a", "0:1", "0:1:0", "1:0:0.1", "0:1e9:1e-9", "nan", "0:inf:1"]
)
def test_thresholds_are_refused(text: str) -> None:
    with pytest.raises(CommandError, match=r"write FROM:TO:STEP, such as 0:1:0\.05"):
        parse_thresholds(text)
